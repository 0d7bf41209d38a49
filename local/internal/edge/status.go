package edge

import (
	"context"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusRetry is the pause after a status could not be written.
const statusRetry = time.Second

// statusWriter writes the edge's address into Ingresses, apart from the routing, which must not wait for it.
type statusWriter struct {
	edge   *Edge
	cancel context.CancelFunc
	wg     sync.WaitGroup
	wake   chan struct{}

	mu     sync.Mutex
	wanted []*networkingv1.Ingress
}

func (e *Edge) newStatusWriter(ctx context.Context) *statusWriter {
	ctx, cancel := context.WithCancel(ctx)
	s := &statusWriter{edge: e, cancel: cancel, wake: make(chan struct{}, 1)}
	s.wg.Go(func() { s.work(ctx) })
	return s
}

func (s *statusWriter) stop() {
	s.cancel()
	s.wg.Wait()
}

// want replaces the list of Ingresses whose status should be right.
func (s *statusWriter) want(ingresses []*networkingv1.Ingress) {
	s.mu.Lock()
	s.wanted = ingresses
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *statusWriter) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for !s.writeAll(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(statusRetry):
			}
		}
	}
}

// writeAll says whether nothing is left to do.
func (s *statusWriter) writeAll(ctx context.Context) (done bool) {
	s.mu.Lock()
	wanted := s.wanted
	s.mu.Unlock()
	done = true
	address := s.edge.address()
	for _, ingress := range wanted {
		if equality.Semantic.DeepEqual(ingress.Status.LoadBalancer.Ingress, address) {
			continue
		}
		changed := ingress.DeepCopy()
		changed.Status.LoadBalancer.Ingress = address
		_, err := s.edge.client.NetworkingV1().Ingresses(ingress.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
		switch {
		case err == nil, ctx.Err() != nil:
		case apierrors.IsNotFound(err), apierrors.IsConflict(err):
			// A newer version is on its way through the watch and brings this Ingress here again.
		default:
			s.edge.log.Warn("writing ingress status", "namespace", ingress.Namespace, "ingress", ingress.Name, "err", err)
			done = false
		}
	}
	return done
}

// address is the status of every served Ingress.
func (e *Edge) address() []networkingv1.IngressLoadBalancerIngress {
	return []networkingv1.IngressLoadBalancerIngress{{IP: e.cfg.Address.IP, Hostname: e.cfg.Address.Hostname}}
}
