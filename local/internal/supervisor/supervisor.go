// Package supervisor is the process behind a running cluster: it starts the control plane and the nodes, serves what a forge
// and a cloud would, and takes everything with it when it ends, however it ends.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/peyk/peyk/local/internal/cgroup"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/hub"
	"github.com/peyk/peyk/local/internal/pki"
	"github.com/peyk/peyk/local/internal/process"
)

// maxQuickEnds is how often the control plane may end within a minute before the cluster is given up.
const maxQuickEnds = 5

// supervisor is the state of the process.
type supervisor struct {
	dir    cluster.Dir
	spec   cluster.Spec
	log    *slog.Logger
	boot   *cluster.Recorder
	hub    *hub.Hub // nil for a control plane alone
	rest   *rest.Config
	client kubernetes.Interface
	group  *errgroup.Group
	life   context.Context // ends with the cluster
}

// Run serves the cluster in a state directory until ctx ends or it cannot be served. The directory must hold a Spec.
func Run(ctx context.Context, dir cluster.Dir, log *slog.Logger) error {
	lock, err := cluster.TryLock(dir.LockFile())
	if errors.Is(err, cluster.ErrLocked) {
		return fmt.Errorf("the cluster in %s runs already", dir)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := os.WriteFile(dir.PIDFile(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the process id: %w", err)
	}
	boot, err := cluster.NewRecorder(dir)
	if err != nil {
		return err
	}
	s := &supervisor{dir: dir, log: log, boot: boot}
	if err := s.run(ctx); err != nil && ctx.Err() == nil {
		return errors.Join(err, boot.Fail(err))
	}
	return nil
}

func (s *supervisor) run(ctx context.Context) error {
	var err error
	if s.spec, err = s.dir.Load(); err != nil {
		return err
	}
	if err := s.clear(); err != nil {
		return err
	}
	if err := s.makeCertificates(); err != nil {
		return err
	}
	if !s.spec.ControlPlaneOnly {
		if s.hub, err = hub.New(); err != nil {
			return err
		}
		defer s.hub.Close()
	}
	if err := s.makeClient(); err != nil {
		return err
	}
	s.group, ctx = errgroup.WithContext(ctx)
	s.life = ctx
	s.group.Go(func() error { return s.keepControlPlane(ctx) })
	s.group.Go(func() error {
		if err := s.start(ctx); err != nil {
			return err
		}
		s.log.InfoContext(ctx, "cluster is ready")
		return s.boot.Ready()
	})
	return s.group.Wait()
}

// clear ends what a killed supervisor may have left running. A cluster starts with every node switched on.
func (s *supervisor) clear() error {
	if err := os.RemoveAll(s.dir.Off()); err != nil {
		return fmt.Errorf("switching the nodes on: %w", err)
	}
	if err := process.KillAll(s.dir); err != nil {
		return err
	}
	if s.spec.ControlPlaneOnly {
		return nil
	}
	return cgroup.Remove(s.cgroupRoot())
}

// cgroupRoot is the control group of the cluster.
func (s *supervisor) cgroupRoot() string { return CgroupRoot(s.dir, s.spec) }

// CgroupRoot is the control group below which everything of a cluster's pods runs.
func CgroupRoot(dir cluster.Dir, spec cluster.Spec) string {
	return path.Join(cgroup.Parent, dir.ID(spec.Name))
}

func (s *supervisor) makeCertificates() error {
	w := pki.Wish{
		APIHosts: []string{
			"127.0.0.1", "::1", "localhost", cluster.HubIP, cluster.APIServiceIP,
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + cluster.Domain,
		},
		HostURL:   fmt.Sprintf("https://127.0.0.1:%d", s.spec.Ports.API),
		Nodes:     map[string]string{},
		AdminFile: s.dir.Kubeconfig(),
		Context:   ContextName(s.spec.Name),
	}
	w.APIURL = w.HostURL
	if !s.spec.ControlPlaneOnly {
		w.APIURL = fmt.Sprintf("https://%s:%d", cluster.HubIP, cluster.HubAPIPort)
	}
	for _, n := range s.spec.NodeList() {
		w.Nodes[n.Name] = n.IP
	}
	return pki.Store(s.dir.PKI()).Ensure(w)
}

// ContextName is the name of the kubeconfig context of a cluster.
func ContextName(name string) string { return "peyk-local-" + name }

// makeClient makes the client through which the supervisor speaks to the API server, from inside the hub.
func (s *supervisor) makeClient() error {
	config, err := clientcmd.BuildConfigFromFlags("", path.Join(s.dir.PKI(), "admin.kubeconfig"))
	if err != nil {
		return fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	if s.hub != nil {
		config.Dial = s.hub.Namespace.DialContext
	}
	// The API server shares out its own capacity.
	config.QPS = -1
	s.rest = config
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	return nil
}

// keepControlPlane runs the control plane and starts it again when it fails, until ctx ends.
func (s *supervisor) keepControlPlane(ctx context.Context) error {
	program, err := Sibling(kubeProgram)
	if err != nil {
		return err
	}
	quick := 0
	for {
		began := time.Now()
		child, err := s.startControlPlane(program)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			child.Release()
			<-child.Done
			return nil
		case <-child.Done:
			s.log.ErrorContext(ctx, "control plane ended", "error", child.Err, "log", s.dir.Log("control-plane"))
		}
		quick++
		if time.Since(began) > time.Minute {
			quick = 0
		}
		if quick == maxQuickEnds {
			return fmt.Errorf("running the control plane: it ended %d times in a row (%w): see %s", quick, child.Err, s.dir.Log("control-plane"))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (s *supervisor) startControlPlane(program string) (child *process.Child, err error) {
	cmd, err := process.Prepare(s.dir, "control-plane", program, "control-plane", "--state-dir", string(s.dir))
	if err != nil {
		return nil, err
	}
	start := func() error {
		child, err = process.Start(cmd)
		return err
	}
	if s.hub == nil {
		err = start()
		return child, err
	}
	err = s.hub.Namespace.Do(start)
	return child, err
}

// listenHost opens a port of the host's loopback address.
func listenHost(service string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("opening port %d for the %s (is it in use? choose another with --%s-port): %w", port, service, service, err)
	}
	return l, nil
}
