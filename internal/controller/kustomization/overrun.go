package kustomization

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/peyk/peyk/internal/render/kustomize"
)

// buildRunner runs builds, none of which holds its caller for longer than the caller's context lives: kustomize knows no
// context, and a small source can ask it for very much work. A build that overruns goes on to where it can be ended, and
// until it is over no other build is begun for that object.
type buildRunner struct {
	build func(kustomize.Request) (*kustomize.Result, error)
	clock clock.PassiveClock

	mu    sync.Mutex
	begun map[types.NamespacedName]time.Time // of the builds that are not over
}

func newBuildRunner(c clock.PassiveClock) *buildRunner {
	return &buildRunner{build: kustomize.Build, clock: c, begun: map[types.NamespacedName]time.Time{}}
}

// errOverrun says that a build goes on although nobody waits for it, or is not begun because of that. One that goes on
// still uses its request.
var errOverrun = errors.New("let spec.path lead to less, or raise spec.timeout")

// outcome is how a build ended.
type outcome struct {
	result   *kustomize.Result
	err      error
	panicked string
}

// run builds for the object of that key, for which no other pass is under way. A build that panics makes the caller
// panic, as if it had run there.
func (b *buildRunner) run(ctx context.Context, key types.NamespacedName, request kustomize.Request) (*kustomize.Result, error) {
	if err := b.begin(key); err != nil {
		return nil, err
	}
	request.Abandoned = func() bool { return ctx.Err() != nil }
	done := make(chan outcome, 1)
	go func() { done <- b.try(key, request) }()
	select {
	case o := <-done:
		if o.panicked != "" {
			panic(o.panicked)
		}
		return o.result, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("the build is given up, %w: %w", context.Cause(ctx), errOverrun)
	}
}

func (b *buildRunner) begin(key types.NamespacedName) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	if since, going := b.begun[key]; going {
		return fmt.Errorf("a build that was given up began %s ago and is not over, before which no other begins: %w",
			now.Sub(since).Round(time.Second), errOverrun)
	}
	b.begun[key] = now
	return nil
}

// try builds, and returns a panic as an outcome: in a goroutine of its own it would end the process.
func (b *buildRunner) try(key types.NamespacedName, request kustomize.Request) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = outcome{panicked: fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
		b.mu.Lock()
		delete(b.begun, key)
		b.mu.Unlock()
	}()
	o.result, o.err = b.build(request)
	return o
}
