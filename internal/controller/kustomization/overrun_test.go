package kustomization

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/peyk/peyk/internal/render/kustomize"
)

// A build that takes too long neither holds its caller nor lets a second one begin; other objects are built.
func TestABuildThatOverruns(t *testing.T) {
	release, slow, fast := make(chan struct{}), types.NamespacedName{Name: "slow"}, types.NamespacedName{Name: "fast"}
	var builds atomic.Int32
	b := newBuildRunner(clock.RealClock{})
	b.build = func(r kustomize.Request) (*kustomize.Result, error) {
		builds.Add(1)
		if r.Path == slow.Name {
			<-release
		}
		return &kustomize.Result{}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.run(ctx, slow, kustomize.Request{Path: slow.Name}); !errors.Is(err, errOverrun) || !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that the build is given up", err)
	}
	if _, err := b.run(t.Context(), slow, kustomize.Request{Path: slow.Name}); !errors.Is(err, errOverrun) || !strings.Contains(err.Error(), "no other begins") {
		t.Fatalf("error %v, want that no other build begins", err)
	}
	if _, err := b.run(t.Context(), fast, kustomize.Request{Path: fast.Name}); err != nil {
		t.Errorf("another object: %v", err)
	}
	close(release)
	soon(t, func() error {
		_, err := b.run(t.Context(), slow, kustomize.Request{Path: fast.Name})
		return err
	})
	if n := builds.Load(); n != 3 {
		t.Errorf("%d builds, want 3", n)
	}
}

func TestAPanicInABuildIsThatOfItsCaller(t *testing.T) {
	b := newBuildRunner(clock.RealClock{})
	b.build = func(kustomize.Request) (*kustomize.Result, error) { panic("kustomize fell over") }
	for range 2 { // the second time shows that the first is over
		func() {
			defer func() {
				if p, ok := recover().(string); !ok || !strings.Contains(p, "kustomize fell over") || !strings.Contains(p, "overrun_test.go") {
					t.Errorf("recovered %q, want the panic and where it was", p)
				}
			}()
			_, err := b.run(t.Context(), types.NamespacedName{Name: "x"}, kustomize.Request{})
			t.Errorf("returned %v, want a panic", err)
		}()
	}
}

// What a build is given up for is said, and a build that can end does.
func TestABuildThatIsGivenUpKnowsIt(t *testing.T) {
	b, key := newBuildRunner(clock.RealClock{}), types.NamespacedName{Name: "x"}
	b.build = func(r kustomize.Request) (*kustomize.Result, error) {
		for deadline := time.Now().Add(time.Minute); !r.Abandoned(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return nil, errors.New("nobody gave up")
			}
		}
		return nil, errors.New("abandoned")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("it took longer than spec.timeout (10ms)"))
	defer cancel()
	if _, err := b.run(ctx, key, kustomize.Request{}); err == nil || !strings.Contains(err.Error(), "longer than spec.timeout (10ms)") {
		t.Errorf("error %v, want that it took longer than spec.timeout", err)
	}
	soon(t, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.begun) > 0 {
			return errors.New("the build goes on")
		}
		return nil
	})
}
