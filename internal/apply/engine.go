package apply

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/peyk/peyk/internal/kube"
)

// Class is a kind of owners, and how their objects are told apart from everybody else's.
type Class struct {
	// Kind of the owners.
	Kind string
	// NameLabel and NamespaceLabel name the owner on every object.
	NameLabel, NamespaceLabel string
	// Manager is the field manager that the objects are applied with.
	Manager string
}

// The classes of owners that Peyk has.
var (
	// Kustomizations is the class of the objects that Kustomizations own, with Flux's labels and field manager.
	Kustomizations = Class{
		Kind:           "Kustomization",
		NameLabel:      "kustomize.toolkit.fluxcd.io/name",
		NamespaceLabel: "kustomize.toolkit.fluxcd.io/namespace",
		Manager:        "kustomize-controller",
	}
	// Packs is the class of the objects in the Helm releases of Packs.
	Packs = Class{
		Kind:           "Pack",
		NameLabel:      "peyk.dev/pack-name",
		NamespaceLabel: "peyk.dev/pack-namespace",
		Manager:        "helm",
	}
)

// Engine applies the objects of owners and keeps watching them. It is safe for concurrent use; passes over one owner
// must not overlap, which a controller's work queue sees to.
type Engine struct {
	own     *kube.Client
	log     *slog.Logger
	clock   clock.PassiveClock
	workers int
	classes map[string]Class

	mu      sync.Mutex
	ctx     context.Context // of the watches; nil until Start
	watches map[watchKey]*watch
	live    map[liveKey]live
	owned   map[Owner]*owned
	queues  map[string]queue
	changed chan struct{} // closed and replaced whenever live changes
}

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// owned is what Peyk has applied for one owner in this process.
type owned struct{ objects map[ObjectID]*tracked }

// tracked is one applied object: equal hashes on both sides mean that there is nothing to do.
type tracked struct {
	entry   Entry
	desired Hash   // of the object as it was to be
	live    Hash   // of what we owned in the object as it became
	version string // resource version of the object as it became

	repairs   int       // in a row, without a pause
	notBefore time.Time // of the next repair
}

// New returns an Engine whose watches use own, Peyk's own client. Start must be running before Apply is called.
func New(own *kube.Client, log *slog.Logger, classes ...Class) *Engine {
	e := &Engine{
		own: own, log: log, clock: clock.RealClock{}, workers: 8,
		classes: map[string]Class{},
		watches: map[watchKey]*watch{}, live: map[liveKey]live{}, owned: map[Owner]*owned{},
		queues: map[string]queue{}, changed: make(chan struct{}),
	}
	for _, c := range classes {
		e.classes[c.Kind] = c
	}
	return e
}

// Start lets watches run until ctx is done. It implements manager.Runnable.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	e.ctx = ctx
	e.notify()
	e.mu.Unlock()
	<-ctx.Done()
	return nil
}

// NeedLeaderElection says that only the leader watches and applies.
func (e *Engine) NeedLeaderElection() bool { return true }

// notify wakes whoever waits for a change. The lock is held.
func (e *Engine) notify() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// waitUntil returns when done says so, with the lock held while it looks, or when ctx is done.
func (e *Engine) waitUntil(ctx context.Context, done func() bool) error {
	for {
		e.mu.Lock()
		ok, changed := done(), e.changed
		e.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// InSync says whether the objects of owner are as they were applied. It is false for an owner that this process has not
// applied yet.
func (e *Engine) InSync(owner Owner) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, ok := e.owned[owner]
	if !ok {
		return false
	}
	for _, t := range o.objects {
		if e.drifted(owner, t) {
			return false
		}
	}
	return true
}

// drifted says whether t is not as it was applied. The lock is held.
func (e *Engine) drifted(owner Owner, t *tracked) bool {
	l, ok := e.live[liveKey{owner.Kind, t.entry.ObjectID}]
	return !ok || l.owner != owner || (l.hash != t.live && kube.Newer(l.version, t.version))
}

// Forget drops what the engine knows of owner: its next Apply looks at everything anew.
func (e *Engine) Forget(owner Owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.owned, owner)
}

func (e *Engine) stateOf(owner Owner) *owned {
	o, ok := e.owned[owner]
	if !ok {
		o = &owned{objects: map[ObjectID]*tracked{}}
		e.owned[owner] = o
	}
	return o
}
