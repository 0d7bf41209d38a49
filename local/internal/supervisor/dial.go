package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/local/internal/cluster"
)

// dialWebhook connects to the receiver of a webhook: a service of the cluster by its DNS name or address, or this machine. No
// other address is dialled, because nothing of a local cluster leaves the machine.
func (s *supervisor) dialWebhook(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", addr, err)
	}
	host = strings.TrimSuffix(host, ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}
	if name, namespace, ok := serviceName(host); ok {
		svc, err := s.client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("finding the service of %s: %w", host, err)
		}
		host = svc.Spec.ClusterIP
	}
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return nil, fmt.Errorf("dialling %s: want a service such as NAME.NAMESPACE.svc, a name below .localhost, or an address of the cluster", host)
	case ip.IsLoopback():
		return new(net.Dialer).DialContext(ctx, network, addr)
	default:
		return s.hub.Namespace.DialContext(ctx, network, net.JoinHostPort(host, port))
	}
}

// serviceName splits the DNS name of a service: NAME.NAMESPACE.svc, with or without the cluster's domain.
func serviceName(host string) (name, namespace string, ok bool) {
	host = strings.TrimSuffix(host, "."+cluster.Domain)
	parts := strings.Split(host, ".")
	if len(parts) != 3 || parts[2] != "svc" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// forward hands every connection of a listener on to a new connection of dial, until ctx ends.
func forward(ctx context.Context, l net.Listener, dial func(context.Context) (net.Conn, error)) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting connections on %s: %w", l.Addr(), err)
		}
		go func() {
			defer conn.Close()
			target, err := dial(ctx)
			if err != nil {
				return
			}
			defer target.Close()
			stop := context.AfterFunc(ctx, func() { target.Close(); conn.Close() })
			defer stop()
			join(conn, target)
		}()
	}
}

// join copies both ways, passing the end of each direction on.
func join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			// A broken direction shows to the peers, who are the ones to tell.
			_, _ = io.Copy(way[0], way[1])
			if half, ok := way[0].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		})
	}
	both.Wait()
}
