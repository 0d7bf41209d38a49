package supervisor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/peyk/peyk/local/internal/addons"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/edge"
	"github.com/peyk/peyk/local/internal/gitserver"
	"github.com/peyk/peyk/local/internal/registry"
	"github.com/peyk/peyk/local/internal/storage"
)

// edgeClass is the ingress class that the edge serves.
const edgeClass = edge.DefaultClass

// serveRegistry opens the registry and puts the images of the add-ons into it.
func (s *supervisor) serveRegistry(ctx context.Context) error {
	r, err := registry.New(s.dir.Registry(), s.log.With("service", "registry"))
	if err != nil {
		return fmt.Errorf("opening the registry: %w", err)
	}
	if err := s.serveHTTP("registry", r, r.Close, s.spec.Ports.Registry, cluster.HubRegistryPort); err != nil {
		return err
	}
	coredns, err := Sibling(corednsProgram)
	if err != nil {
		return err
	}
	pause, err := Sibling(pauseProgram)
	if err != nil {
		return err
	}
	images := addons.Images{Registry: fmt.Sprintf("127.0.0.1:%d", s.spec.Ports.Registry), CoreDNS: coredns, Pause: pause}
	if err := addons.Push(ctx, images); err != nil {
		return err
	}
	return s.boot.Step("registry ready")
}

func (s *supervisor) serveGit() error {
	token, err := gitToken(s.dir)
	if err != nil {
		return err
	}
	g, err := gitserver.New(gitserver.Config{
		Root:       s.dir.Git(),
		AdminToken: token,
		Dial:       s.dialWebhook,
		Log:        s.log.With("service", "git"),
	})
	if err != nil {
		return fmt.Errorf("starting the git server: %w", err)
	}
	if err := s.serveHTTP("git", g, g.Close, s.spec.Ports.Git, cluster.HubGitPort); err != nil {
		return err
	}
	return s.boot.Step("git server ready")
}

// gitToken reads the administrator's token, which the first start makes.
func gitToken(dir cluster.Dir) (string, error) {
	data, err := os.ReadFile(dir.GitTokenFile())
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the git server's token: %w", err)
	}
	token := rand.Text()
	if err := os.WriteFile(dir.GitTokenFile(), []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing the git server's token: %w", err)
	}
	return token, nil
}

// serveHTTP serves a handler on a port of the host's loopback address and on one of the hub, for the life of the cluster.
func (s *supervisor) serveHTTP(service string, h http.Handler, closeHandler func() error, hostPort, hubPort int) error {
	host, err := listenHost(service, hostPort)
	if err != nil {
		return err
	}
	inside, err := s.listenHub(hubPort)
	if err != nil {
		host.Close()
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
	s.background(func(ctx context.Context) error {
		defer func() {
			if err := closeHandler(); err != nil {
				s.log.ErrorContext(ctx, "closing a service", "service", service, "error", err)
			}
		}()
		ended := make(chan error, 2)
		for _, l := range []net.Listener{host, inside} {
			go func() { ended <- server.Serve(l) }()
		}
		select {
		case <-ctx.Done():
			return server.Close()
		case err := <-ended:
			server.Close()
			return fmt.Errorf("serving the %s: %w", service, err)
		}
	})
	return nil
}

func (s *supervisor) listenHub(port int) (net.Listener, error) {
	l, err := s.hub.Namespace.Listen("tcp", fmt.Sprintf("%s:%d", cluster.HubIP, port))
	if err != nil {
		return nil, fmt.Errorf("opening port %d in the hub: %w", port, err)
	}
	return l, nil
}

func (s *supervisor) serveEdge() error {
	e, err := edge.New(edge.Config{
		REST:  s.rest,
		Dial:  s.hub.Namespace.DialContext,
		Class: edgeClass,
		Log:   s.log.With("service", "edge"),
	})
	if err != nil {
		return fmt.Errorf("starting the edge: %w", err)
	}
	var l edge.Listeners
	if l.HTTP, err = s.listenEdge("http", s.spec.Ports.HTTP, cluster.HubHTTPPort); err != nil {
		return err
	}
	if l.HTTPS, err = s.listenEdge("https", s.spec.Ports.HTTPS, cluster.HubHTTPSPort); err != nil {
		return err
	}
	s.background(e.Run)
	s.background(func(ctx context.Context) error { return e.Serve(ctx, l) })
	return s.boot.Step("edge ready")
}

// listenEdge opens the edge's ports. Browsers may ask ::1 for names below localhost, so that is opened too where it exists.
func (s *supervisor) listenEdge(service string, hostPort, hubPort int) ([]net.Listener, error) {
	host, err := listenHost(service, hostPort)
	if err != nil {
		return nil, err
	}
	inside, err := s.listenHub(hubPort)
	if err != nil {
		host.Close()
		return nil, err
	}
	all := []net.Listener{host, inside}
	if six, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", hostPort)); err == nil {
		all = append(all, six)
	}
	return all, nil
}

func (s *supervisor) serveVolumes() {
	s.background(func(ctx context.Context) error {
		return storage.Run(ctx, s.rest, storage.Config{Dir: s.dir.Volumes(), Log: s.log.With("service", "volumes")})
	})
}
