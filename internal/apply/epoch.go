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
		store := e.newStore(func(map[string]bool) {
			e.suspect(ctx, func(*owned) bool { return true }, func(*past) bool { return true })
		})
		e.epoch.admission = append(e.epoch.admission, store)
		watches = append(watches, func() { e.watchMeta(ctx, resource, store) })
	}
	for _, resource := range rights {
		store := e.newStore(func(namespaces map[string]bool) {
			e.suspect(ctx, func(o *owned) bool {
				return o.client != nil && o.client.User() != "" && (namespaces[""] || o.isIn(namespaces))
			}, func(p *past) bool { return p.User != "" && (namespaces[""] || p.isIn(namespaces)) })
		})
		e.epoch.rights = append(e.epoch.rights, store)
		watches = append(watches, func() { e.watchMeta(ctx, resource, store) })
	}
	e.mu.Unlock()
	for _, watch := range watches {
		watch()
	}
}

func (e *Engine) newStore(changed func(namespaces map[string]bool)) *metaStore {
	return &metaStore{engine: e, changed: changed, known: map[types.UID]noted{}, touched: map[string]bool{}}
}

// isIn says whether the owner has an object in one of these namespaces: rights given there are of no use elsewhere.
func (o *owned) isIn(namespaces map[string]bool) bool {
	for id := range o.objects {
		if namespaces[id.Namespace] {
			return true
		}
	}
	return false
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

// hashes returns what admission and rights are like.
func (p *epoch) hashes() (admission Hash, r rightsHashes) {
	r.namespaces = map[string]Hash{}
	for namespace, h := range hashesOf(p.rights) {
		r.namespaces[namespace] = h
	}
	return hashesOf(p.admission)[""], r
}

// rightsHashes say what rights are like in the namespaces where there are any of their own, and, under the empty name, in all.
type rightsHashes struct{ namespaces map[string]Hash }

// of returns what rights are like for somebody who has objects in these namespaces.
func (r rightsHashes) of(namespaces map[string]bool) Hash {
	return hashed(func(b []byte) []byte {
		h := r.namespaces[""]
		b = append(b, h[:]...)
		for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
			if h, ok := r.namespaces[namespace]; ok && namespace != "" {
				b = append(append(append(b, namespace...), 0), h[:]...)
			}
		}
		return b
	})
}

// hashesOf returns a hash of what is in each namespace.
func hashesOf(stores []*metaStore) map[string]Hash {
	texts := map[string][]string{}
	for i, s := range stores {
		for uid, n := range s.known {
			texts[n.namespace] = append(texts[n.namespace], strconv.Itoa(i)+" "+string(uid)+" "+n.edition+";")
		}
	}
	hashes := make(map[string]Hash, len(texts))
	for namespace, all := range texts {
		slices.Sort(all)
		hashes[namespace] = hashed(func(b []byte) []byte {
			for _, text := range all {
				b = append(b, text...)
			}
			return b
		})
	}
	return hashes
}

// suspect has the owners that pick lets through verified, spread over time, so that nothing else waits for that. What an earlier
// process knew of owners that were not applied since is forgotten, where pickPast says so.
func (e *Engine) suspect(ctx context.Context, pick func(*owned) bool, pickPast func(*past) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.recalled, func(_ Owner, p past) bool { return pickPast(&p) })
	for owner, o := range e.owned {
		if len(o.objects) == 0 || o.verify || o.suspected || !pick(o) {
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

// hasApplied says whether anything has been applied yet. The lock is held.
func (e *Engine) hasApplied() bool {
	for _, o := range e.owned {
		if len(o.objects) > 0 {
			return true
		}
	}
	return false
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
	changed func(namespaces map[string]bool) // called some time after objects came, went or changed in these namespaces

	known   map[types.UID]noted
	touched map[string]bool // namespaces of which changed is to be told
	begun   bool
	timer   *time.Timer
}

// noted is what is kept of an object. The namespace is empty for one of the whole cluster.
type noted struct{ namespace, edition string }

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
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok && s.known[m.UID] != note(m) {
		s.known[m.UID] = note(m)
		s.note(m.Namespace)
	}
	return nil
}

// Delete takes in that an object is gone.
func (s *metaStore) Delete(obj any) error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		delete(s.known, m.UID)
		s.note(m.Namespace)
	}
	return nil
}

// Replace takes in everything that there is. The first time that is no change, but what was applied before it was known may
// have been applied under something else.
func (s *metaStore) Replace(list []any, _ string) error {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	known := map[types.UID]noted{}
	for _, obj := range list {
		if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
			known[m.UID] = note(m)
		}
	}
	was := s.known
	s.known = known
	if s.begun {
		for uid, n := range known {
			if was[uid] != n {
				s.note(n.namespace)
			}
		}
		for uid, n := range was {
			if _, ok := known[uid]; !ok {
				s.note(n.namespace)
			}
		}
	}
	if !s.begun && s.engine.hasApplied() {
		go s.changed(map[string]bool{"": true})
	}
	s.begun = true
	s.engine.notify()
	return nil
}

// Resync does nothing.
func (s *metaStore) Resync() error { return nil }

func note(m *metav1.PartialObjectMetadata) noted { return noted{m.Namespace, edition(m)} }

// note calls changed when nothing more has changed for a while. The lock is held.
func (s *metaStore) note(namespace string) {
	s.engine.dirty = true
	s.touched[namespace] = true
	if s.timer == nil {
		s.timer = time.AfterFunc(s.engine.settle, s.tell)
		return
	}
	s.timer.Reset(s.engine.settle)
}

// tell calls changed.
func (s *metaStore) tell() {
	s.engine.mu.Lock()
	touched := s.touched
	s.touched = map[string]bool{}
	s.engine.mu.Unlock()
	s.changed(touched)
}
