package helm

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	helmkube "helm.sh/helm/v4/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/util/csaupgrade"

	"github.com/peyk/peyk/internal/kube"
)

// client is what an action speaks to the cluster with. It does as Helm's own client, with fewer requests: objects of a
// kind are applied side by side, none is read first to find out whether it is there, and the API server, not a schema
// that was downloaded for it, says which fields are unknown.
type client struct {
	*helmkube.Client
	task
	way

	objects *kube.Client
	// defined are kinds that the action has made.
	defined []schema.GroupVersionKind
}

var (
	_ helmkube.Interface            = (*client)(nil)
	_ helmkube.InterfaceWaitOptions = (*client)(nil)
)

// IsReachable asks nothing: what is done next tells.
func (c *client) IsReachable() error { return nil }

// Build reads a manifest. Validate has no meaning, as in Helm with any API server that validates fields itself.
func (c *client) Build(manifest io.Reader, _ bool) (helmkube.ResourceList, error) {
	objects, err := c.build(manifest)
	if c.serverSide && c.claims {
		hide(objects)
	}
	return objects, err
}

// Create makes objects.
func (c *client) Create(objects helmkube.ResourceList, options ...helmkube.ClientCreateOption) (*helmkube.Result, error) {
	defer c.noteDefined(objects)
	if !c.serverSide {
		return c.Client.Create(objects, options...)
	}
	created, err := c.apply(objects)
	return &helmkube.Result{Created: created}, err
}

// Update makes objects so, and deletes those of originals that are no longer among them.
func (c *client) Update(originals, targets helmkube.ResourceList, options ...helmkube.ClientUpdateOption) (*helmkube.Result, error) {
	defer c.noteDefined(targets)
	if !c.serverSide {
		return c.Client.Update(originals, targets, options...)
	}
	made, err := c.apply(targets)
	// Helm may delete what was created when something fails: not what was in the release already, nor what was somebody
	// else's.
	created := targets.Difference(originals)
	if c.claims {
		created = made.Difference(originals)
	}
	result := &helmkube.Result{Created: created, Updated: targets.Difference(created)}
	if err != nil {
		return result, err
	}
	gone := originals.Difference(targets)
	show(gone)
	deleted := make([]bool, len(gone))
	err = inBatches(gone, func(i int, info *resource.Info) error {
		var err error
		deleted[i], err = drop(info)
		return err
	})
	for i, info := range gone {
		if deleted[i] {
			result.Deleted = append(result.Deleted, info)
		}
	}
	return result, err
}

// Delete deletes objects.
func (c *client) Delete(objects helmkube.ResourceList, policy metav1.DeletionPropagation) (*helmkube.Result, []error) {
	show(objects)
	return c.Client.Delete(objects, policy)
}

// drop deletes an object, unless it is annotated to be kept.
func drop(info *resource.Info) (bool, error) {
	helper := resource.NewHelper(info.Client, info.Mapping)
	live, err := helper.Get(info.Namespace, info.Name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err == nil {
		if object, ok := live.(metav1.Object); ok && object.GetAnnotations()[helmkube.ResourcePolicyAnno] == helmkube.KeepPolicy {
			return false, nil
		}
	}
	_, err = helper.DeleteWithOptions(info.Namespace, info.Name, &metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationBackground),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("deleting %s: %w", nameOf(info), err)
	}
	return err == nil, nil
}

// apply applies objects kind by kind. It returns those that were not there before, also when it fails.
func (c *client) apply(objects helmkube.ResourceList) (created helmkube.ResourceList, err error) {
	show(objects)
	isNew := make([]bool, len(objects))
	err = inBatches(objects, func(i int, info *resource.Info) error {
		var err error
		isNew[i], err = c.applyOne(info)
		return err
	})
	for i, info := range objects {
		if isNew[i] {
			created = append(created, info)
		}
	}
	return created, err
}

// applyOne applies an object, and says whether it was not there before. One that was applied by the client before is
// applied twice, for what the API server answers to the first time tells that.
func (c *client) applyOne(info *resource.Info) (created bool, err error) {
	if info.Name == "" {
		helper := resource.NewHelper(info.Client, info.Mapping).WithFieldManager(c.manager).WithFieldValidation(metav1.FieldValidationStrict)
		made, err := helper.Create(info.Namespace, true, info.Object)
		if err != nil {
			return false, fmt.Errorf("creating %s: %w", nameOf(info), kube.HideSecret(info.Mapping.GroupVersionKind.GroupKind(), err))
		}
		return true, info.Refresh(made, true)
	}
	body, err := runtime.Encode(unstructured.UnstructuredJSONScheme, info.Object)
	if err != nil {
		return false, fmt.Errorf("encoding %s: %w", nameOf(info), err)
	}
	const attempts = 5
	for range attempts {
		created, err = c.put(info, body)
		if err != nil || created || !c.adopt {
			return created, err
		}
		if took, err := c.takeOver(info); err != nil || !took {
			return false, err
		}
	}
	return false, fmt.Errorf("taking over the fields of %s: it is changed all the time", nameOf(info))
}

// put applies an object by the server.
func (c *client) put(info *resource.Info, body []byte) (created bool, err error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(info.Mapping.GroupVersionKind)
	object.SetNamespace(info.Namespace)
	object.SetName(info.Name)
	live, created, err := c.objects.Apply(context.Background(), object, kube.ApplyOptions{Manager: c.manager, Strict: true, Body: body})
	if err != nil {
		return false, fmt.Errorf("applying %s: %w", nameOf(info), err)
	}
	c.live.add(live)
	return created, info.Refresh(live, true)
}

// takeOver makes the fields that were applied by the client ones that are applied by the server, so that a field which
// leaves the chart leaves the object. It says whether there may have been such fields.
func (c *client) takeOver(info *resource.Info) (bool, error) {
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(info.Object, sets.New(c.manager, FieldManager), c.manager)
	if err != nil {
		return false, fmt.Errorf("reading the managed fields of %s: %w", nameOf(info), err)
	}
	if len(patch) == 0 {
		return false, nil
	}
	helper := resource.NewHelper(info.Client, info.Mapping).WithFieldManager(c.manager)
	_, err = helper.Patch(info.Namespace, info.Name, types.JSONPatchType, patch, nil)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return false, fmt.Errorf("taking over the fields of %s: %w", nameOf(info), err)
	}
	return true, nil
}

func nameOf(info *resource.Info) string {
	kind := info.Mapping.GroupVersionKind.Kind
	if info.Namespace == "" {
		return kind + "/" + info.Name
	}
	return kind + "/" + info.Namespace + "/" + info.Name
}

// inBatches calls f for runs of objects of the same kind side by side, for Helm has sorted them by what needs what. The
// first batch with an error is the last. A panic of f is the caller's.
func inBatches(objects helmkube.ResourceList, f func(int, *resource.Info) error) error {
	const most = 8
	slots := make(chan struct{}, most)
	for start := 0; start < len(objects); {
		end := start
		for end < len(objects) && objects[end].Mapping.GroupVersionKind == objects[start].Mapping.GroupVersionKind {
			end++
		}
		errs, panics := make([]error, end-start), make([]string, end-start)
		var group sync.WaitGroup
		for i := start; i < end; i++ {
			group.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				panics[i-start] = guarded(func() { errs[i-start] = f(i, objects[i]) })
			})
		}
		group.Wait()
		for _, panicked := range panics {
			if panicked != "" {
				panic(panicked)
			}
		}
		if err := join(errs); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// guarded returns a panic of f as text: a goroutine of its own would end the process with it.
func guarded(f func()) (panicked string) {
	defer func() {
		if p := recover(); p != nil {
			panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	f()
	return ""
}

// GetWaiter returns what waits for objects.
func (c *client) GetWaiter(strategy helmkube.WaitStrategy) (helmkube.Waiter, error) {
	return c.GetWaiterWithOptions(strategy)
}

// GetWaiterWithOptions returns what waits for objects.
func (c *client) GetWaiterWithOptions(strategy helmkube.WaitStrategy, options ...helmkube.WaitOption) (helmkube.Waiter, error) {
	if c.readiness == nil || strategy == helmkube.LegacyStrategy {
		return c.Client.GetWaiterWithOptions(strategy, options...)
	}
	return &waiter{task: c.task, hooksOnly: strategy == helmkube.HookOnlyStrategy}, nil
}

// Readiness tells when objects are as they have to be. Its methods return nil as soon as they are, and an error when
// that cannot be any more or when ctx is done.
type Readiness interface {
	// Ready waits until all objects are ready, and, with jobs, Jobs complete.
	Ready(ctx context.Context, objects []*unstructured.Unstructured, jobs bool) error
	// Done waits until hooks have run.
	Done(ctx context.Context, hooks []*unstructured.Unstructured) error
	// Gone waits until no object is there any more.
	Gone(ctx context.Context, objects []*unstructured.Unstructured) error
}

// waiter waits by a Readiness.
type waiter struct {
	task
	hooksOnly bool
}

// Wait waits until the objects of the release are ready.
func (w *waiter) Wait(objects helmkube.ResourceList, timeout time.Duration) error {
	return w.ready(objects, timeout, false)
}

// WaitWithJobs is Wait that waits for the completion of Jobs too.
func (w *waiter) WaitWithJobs(objects helmkube.ResourceList, timeout time.Duration) error {
	return w.ready(objects, timeout, true)
}

func (w *waiter) ready(objects helmkube.ResourceList, timeout time.Duration, jobs bool) error {
	if w.hooksOnly {
		return nil
	}
	return w.within(w.waitCtx, timeout, func(ctx context.Context) error {
		return w.readiness.Ready(ctx, unstructuredOf(objects), jobs)
	})
}

// WatchUntilReady waits until hooks have run.
func (w *waiter) WatchUntilReady(hooks helmkube.ResourceList, timeout time.Duration) error {
	return w.within(context.Background(), timeout, func(ctx context.Context) error { return w.readiness.Done(ctx, unstructuredOf(hooks)) })
}

// WaitForDelete waits until the objects are gone. A hook is waited for in any case: it could not be made anew while it goes.
func (w *waiter) WaitForDelete(objects helmkube.ResourceList, timeout time.Duration) error {
	if w.hooksOnly {
		objects = objects.Filter(isHook)
	}
	if len(objects) == 0 {
		return nil
	}
	return w.within(context.Background(), timeout, func(ctx context.Context) error { return w.readiness.Gone(ctx, unstructuredOf(objects)) })
}

// within waits, and lets another release work meanwhile.
func (w *waiter) within(ctx context.Context, timeout time.Duration, wait func(context.Context) error) error {
	w.slots.release()
	defer w.slots.acquire()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return wait(ctx)
}

// unstructuredOf returns the objects of a list with the namespaces that Helm worked out.
func unstructuredOf(list helmkube.ResourceList) []*unstructured.Unstructured {
	objects := make([]*unstructured.Unstructured, 0, len(list))
	for _, info := range list {
		object, ok := info.Object.(*unstructured.Unstructured)
		if !ok {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(info.Object)
			if err != nil {
				continue // every object of a manifest converts
			}
			object = &unstructured.Unstructured{Object: fields}
		}
		object = object.DeepCopy()
		object.SetGroupVersionKind(info.Mapping.GroupVersionKind)
		object.SetNamespace(info.Namespace)
		object.SetName(info.Name)
		objects = append(objects, object)
	}
	return objects
}
