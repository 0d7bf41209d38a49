package notify

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// A defect that one notification brings to light ends neither the process nor what comes after it, and is not met again
// after a restart.
func TestAPanicIsOneNotificationsFailure(t *testing.T) {
	s := newSink(t, nil)
	b := newTestBus(t, quick())
	b.stop()
	pit := provider("pit", s.URL)
	pit.Spec.SecretRef = &meta.LocalObjectReference{Name: "pitfall"}
	objects := []client.Object{provider("hook", s.URL), pit, secret(), alert("all", "hook", nil), alert("pit", "pit", nil)}
	b.client = fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, o ...client.GetOption) error {
			if key.Name == "pitfall" {
				panic("somebody fell into the pit")
			}
			return c.Get(ctx, key, obj, o...)
		},
	}).Build()
	b.start(quick())
	b.bus.Hear(heard("app", "one"))
	b.bus.Hear(heard("app", "two"))
	b.eventually("the other provider's arrive", func() bool { return len(s.got()) == 2 })
	b.eventually("the queue is empty", func() bool { return b.bus.queue.size() == 0 })
	b.eventually("people are told", func() bool { return strings.Contains(strings.Join(b.warnings(), "\n"), "Peyk panicked") })
}
