package apply

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// What an unchanged object becomes, or whether it may be applied at all, is changed by these: definitions and admission
// by all owners, rights by those that apply as somebody else than Peyk.
var (
	admission = []schema.GroupVersionResource{
		{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicies"},
		{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingadmissionpolicybindings"},
	}
	rights = []schema.GroupVersionResource{
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	}
)

// settle is how long changes must have ended before they are acted upon, for they come in crowds, and spread is over how
// long the owners are looked at anew then.
const (
	settle = 10 * time.Second
	spread = 5 * time.Minute
)

// watchEpoch lets owners be verified once more when something changed that no watch of their objects tells of.
func (e *Engine) watchEpoch(ctx context.Context) {
	var watches []func()
	e.mu.Lock()
	for _, resource := range admission {
		store := e.newStore(func() { e.suspect(ctx, func(*owned) bool { return true }) })
		e.epoch.admission = append(e.epoch.admission, store)
		watches = append(watches, func() { e.watchMeta(ctx, resource, store) })
	}
	for _, resource := range rights {
		store := e.newStore(func() {
			e.suspect(ctx, func(o *owned) bool { return o.client != nil && o.client.User() != "" })
		})
		e.epoch.rights = append(e.epoch.rights, store)
		watches = append(watches, func() { e.watchMeta(ctx, resource, store) })
	}
	e.mu.Unlock()
	for _, watch := range watches {
		watch()
	}
}

func (e *Engine) newStore(changed func()) *metaStore {
	return &metaStore{engine: e, changed: changed, known: map[types.UID]string{}}
}

// epoch is the state of everything that changes what an unchanged object becomes. The engine's lock guards it.
type epoch struct{ admission, rights []*metaStore }

// isKnown says whether all of it has been listed, as far as Peyk may.
func (p *epoch) isKnown() bool {
	for _, s := range slices.Concat(p.admission, p.rights) {
		if !s.begun {
			return false
		}
	}
	return len(p.admission) > 0
}

// hashes return what admission and rights are like.
func (p *epoch) hashes() (admission, rights Hash) {
	sum := func(stores []*metaStore) Hash {
		return hashed(func(b []byte) []byte {
			for _, s := range stores {
				for _, uid := range slices.Sorted(maps.Keys(s.known)) {
					b = append(append(append(b, uid...), s.known[uid]...), ';')
				}
				b = append(b, '|')
			}
			return b
		})
	}
	return sum(p.admission), sum(p.rights)
}

// suspect has the owners that pick lets through verified, spread over time, so that nothing else waits for that.
func (e *Engine) suspect(ctx context.Context, pick func(*owned) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for owner, o := range e.owned {
		if !o.applied || o.verify || o.suspected || !pick(o) {
			continue
		}
		o.suspected = true
		time.AfterFunc(rand.N(e.spread), func() { //nolint:gosec // spreads load, keeps no secret
			if ctx.Err() == nil {
				e.verify(owner, o)
			}
		})
	}
}

func (e *Engine) verify(owner Owner, o *owned) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o.suspected = false
	if e.owned[owner] == o {
		o.verify = true
		e.wake(owner, nil)
	}
}

// watchMeta watches a resource for store. Where Peyk may not watch it nothing happens: then a change is met with the next
// write.
func (e *Engine) watchMeta(ctx context.Context, resource schema.GroupVersionResource, store *metaStore) {
	client := e.own.Metadata.Resource(resource)
	ctx, stop := context.WithCancel(ctx)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, o)
			if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
				_ = store.Replace(nil, "")
				stop()
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			return client.Watch(ctx, o)
		},
	}
	reflector := cache.NewReflectorWithOptions(lw, &metav1.PartialObjectMetadata{}, store, cache.ReflectorOptions{
		Name: resource.Resource, TypeDescription: resource.String(),
	})
	go func() {
		defer stop()
		reflector.RunWithContext(ctx)
	}()
}

// metaStore notices changes. It implements cache.ReflectorStore and keeps what it needs for that, guarded by the engine's
// lock.
type metaStore struct {
	engine  *Engine
	changed func() // called some time after objects came, went or changed

	known map[types.UID]string
	begun bool
	timer *time.Timer
}

// edition changes with what matters in an object: the generation where there is one, since then the status does not
// count.
func edition(m *metav1.PartialObjectMetadata) string {
	if m.Generation > 0 {
		return strconv.FormatInt(m.Generation, 10)
	}
	return m.ResourceVersion
}

// Add takes in a new object.
func (s *metaStore) Add(obj any) error { return s.Update(obj) }

// Update takes in a changed object.
func (s *metaStore) Update(obj any) error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok && s.known[m.UID] != edition(m) {
		s.known[m.UID] = edition(m)
		s.note()
	}
	return nil
}

// Delete takes in that an object is gone.
func (s *metaStore) Delete(obj any) error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		delete(s.known, m.UID)
		s.note()
	}
	return nil
}

// Replace takes in everything that there is. The first time that is no change.
func (s *metaStore) Replace(list []any, _ string) error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	known := map[types.UID]string{}
	same := true
	for _, obj := range list {
		if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
			known[m.UID] = edition(m)
			same = same && s.known[m.UID] == known[m.UID]
		}
	}
	same = same && len(known) == len(s.known)
	s.known = known
	if s.begun && !same {
		s.note()
	}
	s.begun = true
	s.engine.notify()
	return nil
}

// Resync does nothing.
func (s *metaStore) Resync() error { return nil }

// note calls changed when nothing more has changed for a while. The lock is held.
func (s *metaStore) note() {
	s.engine.dirty = true
	if s.timer == nil {
		s.timer = time.AfterFunc(s.engine.settle, s.changed)
		return
	}
	s.timer.Reset(s.engine.settle)
}
