package notify

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// BenchmarkHear measures what a pass over an object waits for its event to be on disk, with ten passes at a time.
func BenchmarkHear(b *testing.B) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta3.AddToScheme, ksv1.AddToScheme} {
		if err := add(scheme); err != nil {
			b.Fatal(err)
		}
	}
	bus, err := New(Options{
		Path: filepath.Join(b.TempDir(), "notifications.db"), Scheme: scheme, Log: slog.New(slog.DiscardHandler),
		Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(alert("all", "hook", nil)).Build(),
	})
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	b.SetParallelism(5)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			bus.Hear(heard("app", fmt.Sprint(n.Add(1))))
		}
	})
	b.StopTimer()
	if err := bus.Close(); err != nil {
		b.Error(err)
	}
}
