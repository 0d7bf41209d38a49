package edge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

// settle gathers changes that come together, such as those of a new Deployment, into one table.
const settle = 10 * time.Millisecond

// watcher holds the caches that tables are built from.
type watcher struct {
	ingresses networkinglisters.IngressLister
	classes   networkinglisters.IngressClassLister
	services  corelisters.ServiceLister
	slices    discoverylisters.EndpointSliceLister
	secrets   corelisters.SecretLister
	changed   chan struct{}
}

// Run watches the cluster and keeps the table and the Ingresses' status up to date until ctx ends.
func (e *Edge) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{changed: make(chan struct{}, 1)}
	all := informers.NewSharedInformerFactoryWithOptions(e.client, 0, informers.WithTransform(dropManagedFields))
	certificates := informers.NewSharedInformerFactoryWithOptions(e.client, 0, informers.WithTransform(dropManagedFields),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = "type=" + string(corev1.SecretTypeTLS) }))
	defer all.Shutdown()
	defer certificates.Shutdown()
	defer cancel() // runs first: Shutdown waits for the informers' end

	network, core := all.Networking().V1(), all.Core().V1()
	w.ingresses, w.classes = network.Ingresses().Lister(), network.IngressClasses().Lister()
	w.services, w.slices = core.Services().Lister(), all.Discovery().V1().EndpointSlices().Lister()
	w.secrets = certificates.Core().V1().Secrets().Lister()
	var synced []cache.InformerSynced
	for _, informer := range []cache.SharedIndexInformer{
		network.Ingresses().Informer(), network.IngressClasses().Informer(), core.Services().Informer(),
		all.Discovery().V1().EndpointSlices().Informer(), certificates.Core().V1().Secrets().Informer(),
	} {
		registration, err := informer.AddEventHandler(w.handler())
		if err != nil {
			return fmt.Errorf("watching the cluster: %w", err)
		}
		synced = append(synced, registration.HasSynced)
	}
	all.StartWithContext(ctx)
	certificates.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil
	}
	return e.rebuild(ctx, w)
}

func (w *watcher) handler() cache.ResourceEventHandler {
	signal := func(any) {
		select {
		case w.changed <- struct{}{}:
		default: // one is waiting already
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: signal, DeleteFunc: signal, UpdateFunc: func(_, now any) { signal(now) }}
}

// rebuild makes a table now and after each change.
func (e *Edge) rebuild(ctx context.Context, w *watcher) error {
	turns := map[string]*atomic.Uint64{}
	said := map[string]bool{}
	status := e.newStatusWriter(ctx)
	defer status.stop()
	for {
		snap, err := w.snapshot(e.cfg.Class)
		if err != nil {
			return fmt.Errorf("reading the watched objects: %w", err)
		}
		var built *table
		var problems []string
		built, turns, problems = build(snap, turns)
		e.table.Store(built)
		said = e.tell(problems, said)
		status.want(served(snap))

		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
	}
}

// tell logs each problem once, until it went away and came back.
func (e *Edge) tell(problems []string, said map[string]bool) map[string]bool {
	now := map[string]bool{}
	for _, problem := range problems {
		now[problem] = true
		if !said[problem] {
			e.log.Warn("ingress is served with a defect", "problem", problem)
		}
	}
	return now
}

// snapshot lists the caches. The objects are shared with them and must not be changed.
func (w *watcher) snapshot(class string) (snapshot, error) {
	snap := snapshot{
		class:    class,
		services: map[string]*corev1.Service{},
		slices:   map[string][]*discoveryv1.EndpointSlice{},
		secrets:  map[string]*corev1.Secret{},
	}
	everything := labels.Everything()
	var errs [5]error
	snap.classes, errs[0] = w.classes.List(everything)
	snap.ingresses, errs[1] = w.ingresses.List(everything)
	services, err := w.services.List(everything)
	errs[2] = err
	for _, service := range services {
		snap.services[service.Namespace+"/"+service.Name] = service
	}
	endpointSlices, err := w.slices.List(everything)
	errs[3] = err
	for _, slice := range endpointSlices {
		key := slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
		snap.slices[key] = append(snap.slices[key], slice)
	}
	secrets, err := w.secrets.List(everything)
	errs[4] = err
	for _, secret := range secrets {
		if secret.Type == corev1.SecretTypeTLS {
			snap.secrets[secret.Namespace+"/"+secret.Name] = secret
		}
	}
	return snap, errors.Join(errs[:]...)
}

// dropManagedFields keeps the caches small: nobody here reads them, and they are often half of an object.
func dropManagedFields(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}
