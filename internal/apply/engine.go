package apply

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"

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
	// TakesOver are prefixes of the names of field managers whose fields become the owner's, so that what they added to an
	// object goes away again.
	TakesOver []string
}

// The classes of owners that Peyk has.
var (
	// Kustomizations is the class of the objects that Kustomizations own, with Flux's labels and field manager.
	Kustomizations = Class{
		Kind:           "Kustomization",
		NameLabel:      "kustomize.toolkit.fluxcd.io/name",
		NamespaceLabel: "kustomize.toolkit.fluxcd.io/namespace",
		Manager:        "kustomize-controller",
		TakesOver:      []string{"kubectl", "before-first-apply", "kustomize-controller"},
	}
	// Packs is the class of the objects in the Helm releases of Packs.
	Packs = Class{
		Kind:           "Pack",
		NameLabel:      "peyk.dev/pack-name",
		NamespaceLabel: "peyk.dev/pack-namespace",
		Manager:        "helm",
	}
	// HelmReleases is the class of the objects in the Helm releases of HelmReleases, with Flux's labels and field manager.
	HelmReleases = Class{
		Kind:           "HelmRelease",
		NameLabel:      "helm.toolkit.fluxcd.io/name",
		NamespaceLabel: "helm.toolkit.fluxcd.io/namespace",
		Manager:        "helm-controller",
	}
)

// Engine applies the objects of owners and keeps watching them. It is safe for concurrent use; passes over one owner
// must not overlap, which a controller's work queue sees to.
type Engine struct {
	own            *kube.Client
	log            *slog.Logger
	clock          clock.PassiveClock
	classes        map[string]Class
	slots          chan struct{} // one for every request that may be under way at a time
	settle, spread time.Duration // see the constants
	rules          ruleBook
	queues         *queues

	mu       sync.Mutex
	ctx      context.Context // of the watches; nil until Start
	watches  map[watchKey]*watch
	live     map[liveKey]live
	mine     map[Owner]map[ObjectID]bool // the keys of live, by owner
	owned    map[Owner]*owned
	waiting  map[liveKey]map[Owner]int // who wants an object that another owner has, by the pass that said so
	searched map[string]*search        // what kinds a class has objects of
	changed  chan struct{}             // closed and replaced whenever live changes
	epoch    epoch

	memoryFile string // where what is known is written down; empty when it is not
	dirty      bool   // it changed since
	past       *memory
	recalled   map[Owner]past // of owners that were not applied since the start

	followers map[Owner][]*Follower
}

// workers is how many requests one Apply has under way at a time, and slots is how many all together have: more would
// wait for each other in the API server.
const (
	workers = 8
	slots   = 32
)

// owned is what Peyk has applied for one owner in this process.
type owned struct {
	objects   map[ObjectID]*tracked
	client    *kube.Client // that applied last
	applied   bool         // everything at least once
	pass      int          // counts the passes
	verify    bool         // everything is to be dry-run once more
	suspected bool         // verify will be set
}

// tracked is one applied object: equal hashes on both sides mean that there is nothing to do.
type tracked struct {
	entry   Entry
	desired Hash   // of the object as it was to be
	live    Hash   // of what we owned in the object as it became
	version string // resource version of the object as it became

	busy    bool // being written
	shared  bool // another owner has it, and wants it just so
	once    bool // applied once and then left to others
	done    bool // a Job that was done, and that the cluster removed
	foreign bool // managers that are taken over come back by themselves

	repairs   int       // in a row, without a pause
	notBefore time.Time // of the next repair
	polled    time.Time // when the object was last looked at, if its kind cannot be watched
}

// New returns an Engine whose watches use own, Peyk's own client. Start must be running before Apply is called.
func New(own *kube.Client, log *slog.Logger, classes ...Class) *Engine {
	byKind := map[string]Class{}
	for _, c := range classes {
		byKind[c.Kind] = c
	}
	return newEngine(own, log, byKind, &queues{of: map[string]queue{}, holds: map[string]func(Owner, ObjectID) bool{}})
}

func newEngine(own *kube.Client, log *slog.Logger, classes map[string]Class, queues *queues) *Engine {
	return &Engine{
		own: own, log: log, clock: clock.RealClock{}, classes: classes, queues: queues,
		slots: make(chan struct{}, slots), settle: settle, spread: spread,
		watches: map[watchKey]*watch{}, live: map[liveKey]live{}, mine: map[Owner]map[ObjectID]bool{},
		owned: map[Owner]*owned{}, waiting: map[liveKey]map[Owner]int{},
		searched: map[string]*search{}, recalled: map[Owner]past{}, changed: make(chan struct{}), followers: map[Owner][]*Follower{},
	}
}

// sibling returns an Engine for another cluster, which wakes the same controllers.
func (e *Engine) sibling(own *kube.Client) *Engine {
	return newEngine(own, e.log, e.classes, e.queues)
}

// Start lets watches run until ctx is done. It implements manager.Runnable.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	e.ctx = ctx
	e.notify()
	e.mu.Unlock()
	e.watchEpoch(ctx)
	go e.pollUntil(ctx)
	e.flushUntil(ctx)
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
// applied yet, and for one that is to be checked anew.
func (e *Engine) InSync(owner Owner) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, ok := e.owned[owner]
	if !ok || o.verify {
		return false
	}
	for _, t := range o.objects {
		if t.desired == (Hash{}) || e.drifted(owner, t) {
			return false
		}
	}
	return true
}

// Forget drops what the engine knows of owner: its next Apply looks at everything anew.
func (e *Engine) Forget(owner Owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.owned[owner]
	delete(e.owned, owner)
	delete(e.recalled, owner)
	e.dirty = true
	if o == nil {
		return
	}
	e.unwant(owner, 0)
	for id := range o.objects {
		e.release(id, owner)
	}
}

// Verify makes the next Apply of owner look at everything anew, and repair what was put off. The owner keeps what it has.
func (e *Engine) Verify(owner Owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.recalled, owner)
	o := e.owned[owner]
	if o == nil {
		return
	}
	o.verify = true
	for _, t := range o.objects {
		t.repairs, t.notBefore = 0, time.Time{}
	}
}

func (e *Engine) stateOf(owner Owner) *owned {
	o, ok := e.owned[owner]
	if !ok {
		o = &owned{objects: map[ObjectID]*tracked{}}
		e.owned[owner] = o
	}
	return o
}
