package helm

import (
	"context"
	"errors"
	"io"
	"slices"

	"helm.sh/helm/v4/pkg/action"
	helmkube "helm.sh/helm/v4/pkg/kube"
	releases "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Rendered is what a release would be.
type Rendered struct {
	// Objects that would be applied, with their namespaces and Helm's marks; definitions come first, hooks are left out.
	Objects []*unstructured.Unstructured
	// Gone are the objects of the release as it is that would be deleted.
	Gone []*unstructured.Unstructured
	// Hide takes what was encrypted in the values out of a text. Nil: nothing was.
	Hide func(string) string
}

// errRendered ends an action as soon as the chart is rendered.
var errRendered = errors.New("the chart is rendered")

// rehearsal is a client that takes down the manifest an action hands it, and ends the action: the cluster is not asked for
// what follows.
type rehearsal struct {
	helmkube.Interface
	manifest string
	done     bool
}

// Build takes the manifest down.
func (r *rehearsal) Build(manifest io.Reader, _ bool) (helmkube.ResourceList, error) {
	text, err := io.ReadAll(manifest)
	if err != nil {
		return nil, err
	}
	r.manifest, r.done = string(text), true
	return nil, errRendered
}

// settled is a storage driver that shows a release as it will be when the action that is under way at it has ended: what is
// rendered comes after that.
type settled struct{ driver.Driver }

// Query returns the releases with the labels.
func (s settled) Query(labels map[string]string) ([]releases.Releaser, error) {
	found, err := s.Driver.Query(labels)
	for i, one := range found {
		if r, err := typed(one, nil); err == nil && r.Info.Status.IsPending() {
			done, info := *r, *r.Info
			info.Status, done.Info = common.StatusDeployed, &info
			found[i] = &done
		}
	}
	return found, err
}

// Template renders the chart as Install would, or Upgrade where there is a release, and changes nothing. The templates see
// the cluster as they would then. A release that is being worked on counts as it will be after that. It returns a RenderError
// when the chart does not render.
func (e *Engine) Template(ctx context.Context, r Request) (*Rendered, error) {
	policy := r.CRDs
	r.CRDs, r.rehearsed = CRDsSkip, true
	rendered := &Rendered{}
	err := e.act(r, func(c *action.Configuration) error {
		c.Releases = storage.Init(settled{c.Releases.Driver})
		before, err := last(c, r.Name)
		if err != nil {
			return err
		}
		taken := &rehearsal{Interface: c.KubeClient}
		c.KubeClient = taken
		if before == nil || isUninstall(before.Info.Status) {
			before = nil
			_, err = e.install(ctx, c, r)
		} else {
			_, err = e.upgrade(ctx, c, r)
		}
		if !taken.done {
			return classify(r.Chart, err)
		}
		if rendered.Objects, err = e.complete(taken.manifest, r); err != nil {
			return err
		}
		if before != nil {
			rendered.Gone, err = e.gone(before.Manifest, r, rendered.Objects)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	definitions, err := e.definitions(ctx, r, policy)
	rendered.Objects = append(definitions, rendered.Objects...)
	return rendered, err
}

// ForPack completes the request as Apply does.
func (r Request) ForPack() Request {
	r.Post, r.PostRenderStrategy = keepingClaims(r.Labels), PostRenderNoHooks
	r.ServerSideApply, r.SkipSchema, r.MaxHistory, r.CRDs = ServerSideEnabled, true, history, CRDsCreate
	return r
}

// complete reads a manifest like parse. A kind that the cluster does not know yet is taken to live in namespaces, unless
// the chart brings its definition and that says otherwise.
func (e *Engine) complete(manifest string, r Request) ([]*unstructured.Unstructured, error) {
	own, err := r.Chart.Definitions()
	if err != nil {
		return nil, err
	}
	return withScopes(e.objects, own).parse(manifest, r.Namespace, r.Name)
}

// gone are the objects of a manifest that are not among those that are kept, and that Helm would delete.
func (e *Engine) gone(manifest string, r Request, kept []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	before, err := e.complete(manifest, r)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(before, func(old *unstructured.Unstructured) bool {
		return old.GetAnnotations()[policyAnnotation] == "keep" || slices.ContainsFunc(kept, func(now *unstructured.Unstructured) bool {
			return old.GroupVersionKind().GroupKind() == now.GroupVersionKind().GroupKind() &&
				old.GetNamespace() == now.GetNamespace() && old.GetName() == now.GetName()
		})
	}), nil
}

// definitions are those of the chart's crds folders that the policy would apply.
func (e *Engine) definitions(ctx context.Context, r Request, policy CRDPolicy) ([]*unstructured.Unstructured, error) {
	if policy == CRDsSkip || policy == "" {
		return nil, nil
	}
	all, err := r.Chart.Definitions()
	if err != nil {
		return nil, err
	}
	var applied []*unstructured.Unstructured
	for _, definition := range all {
		if definition.GetKind() != "CustomResourceDefinition" {
			continue
		}
		_, err := e.objects.Get(ctx, definition.GroupVersionKind(), "", definition.GetName())
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		if err == nil && policy == CRDsCreate {
			continue
		}
		definition.SetLabels(merged(definition.GetLabels(), r.CRDLabels))
		applied = append(applied, definition)
	}
	return applied, nil
}

// scopes is a cluster with kinds that it does not know yet.
type scopes struct {
	ObjectReader
	global []schema.GroupKind
}

// withScopes returns an engine that reads manifests only.
func withScopes(objects ObjectReader, definitions []*unstructured.Unstructured) *Engine {
	s := scopes{ObjectReader: objects}
	for _, definition := range definitions {
		if scope, _, _ := unstructured.NestedString(definition.Object, "spec", "scope"); scope != "Cluster" {
			continue
		}
		for _, gvk := range kindsOf(definition) {
			s.global = append(s.global, gvk.GroupKind())
		}
	}
	return &Engine{objects: s}
}

// Namespaced implements ObjectReader.
func (s scopes) Namespaced(gvk schema.GroupVersionKind) (bool, error) {
	namespaced, err := s.ObjectReader.Namespaced(gvk)
	if meta.IsNoMatchError(err) {
		return !slices.Contains(s.global, gvk.GroupKind()), nil
	}
	return namespaced, err
}
