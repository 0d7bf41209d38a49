package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// readVariables reads the variables of spec.postBuild, each ConfigMap and Secret once, and decides with them whether
// anything is to be done at all.
func (p *pass) readVariables(ctx context.Context) error {
	if err := p.collectVariables(ctx); err != nil {
		return err
	}
	text, err := json.Marshal(p.vars)
	if err != nil {
		return reconcile.Failf(meta.BuildFailedReason, "encoding the variables: %w", err)
	}
	sum := sha256.Sum256(text)
	p.key = fmt.Sprintf("%s@%s/%d/%s", p.source.Revision, p.source.Digest, p.obj.Generation, hex.EncodeToString(sum[:8]))
	if token := p.obj.Annotations[reconcile.RequestAnnotation]; token != p.obj.Status.LastHandledReconcileAt {
		p.engine.Forget(p.owner)
	}
	p.settled = p.remembered().done == p.key && p.engine.InSync(p.owner)
	return nil
}

func (p *pass) collectVariables(ctx context.Context) error {
	post := p.obj.Spec.PostBuild
	if post == nil {
		return nil
	}
	vars := map[string]string{}
	for i, ref := range post.SubstituteFrom {
		data, err := p.readReference(ctx, ref)
		if err != nil {
			return reconcile.Failf(meta.BuildFailedReason, "spec.postBuild.substituteFrom[%d]: %w", i, err)
		}
		for name, value := range data {
			if err := kustomize.CheckVariableName(name); err != nil {
				return reconcile.Failf(meta.BuildFailedReason, "%s/%s: %w", ref.Kind, ref.Name, err)
			}
			vars[name] = strings.ReplaceAll(value, "\n", "")
		}
	}
	for name, value := range post.Substitute {
		vars[name] = strings.ReplaceAll(value, "\n", "")
	}
	if len(vars) > 0 || p.obj.GetSubstituteStrategy() == ksv1.SubstituteStrategyAlways {
		p.vars = vars
	}
	return nil
}

// readReference reads a ConfigMap or Secret of variables, as the Kustomization's own namespace has it.
func (p *pass) readReference(ctx context.Context, ref ksv1.SubstituteReference) (map[string]string, error) {
	key := types.NamespacedName{Namespace: p.obj.Namespace, Name: ref.Name}
	data := map[string]string{}
	var err error
	switch ref.Kind {
	case "ConfigMap":
		cm := &corev1.ConfigMap{}
		err = p.direct.Get(ctx, key, cm)
		data = cm.Data
	case "Secret":
		secret := &corev1.Secret{}
		err = p.direct.Get(ctx, key, secret)
		for name, value := range secret.Data {
			data[name] = string(value)
		}
	default:
		return nil, fmt.Errorf("kind %q is neither ConfigMap nor Secret", ref.Kind)
	}
	if apierrors.IsNotFound(err) {
		if ref.Optional {
			return nil, nil
		}
		return nil, fmt.Errorf("%s %s not found: create it, or set optional", ref.Kind, key)
	}
	return data, client.IgnoreNotFound(err)
}

// build renders the objects, unless they are known to be in place.
func (p *pass) build(ctx context.Context) error {
	cluster, err := p.clients.For(identityOf(p.obj))
	if err != nil {
		return reconcile.Fail(meta.ReconciliationFailedReason, err)
	}
	p.client = cluster
	if p.settled {
		return nil
	}
	spec := p.obj.Spec
	request := kustomize.Request{
		Root: p.source.Dir, Path: spec.Path, Namespace: spec.TargetNamespace,
		NamePrefix: spec.NamePrefix, NameSuffix: spec.NameSuffix, Patches: spec.Patches, Images: spec.Images,
		Components: spec.Components, IgnoreMissingComponents: spec.IgnoreMissingComponents, Variables: p.vars,
	}
	if m := spec.CommonMetadata; m != nil {
		request.Labels, request.Annotations = m.Labels, m.Annotations
	}
	objects, err := kustomize.Build(request)
	if errors.Is(err, kustomize.ErrPathNotFound) {
		return reconcile.Failf(meta.BuildFailedReason, "spec.path: %w; it is looked for in %s at %s", err, sourceOf(p.obj), p.source.Revision)
	}
	if err != nil {
		return reconcile.Fail(meta.BuildFailedReason, err)
	}
	return p.take(ctx, objects)
}

// take turns what was built into the request for the engine.
func (p *pass) take(ctx context.Context, objects []kustomize.Object) error {
	p.request = apply.Request{
		Owner: p.owner, Client: p.client, Force: p.obj.Spec.Force, Origins: map[apply.ObjectID]string{},
	}
	for _, obj := range objects {
		if err := p.checkScope(obj); err != nil {
			return err
		}
		id := apply.IDOf(obj.Unstructured)
		if other, twice := p.request.Origins[id]; twice {
			return reconcile.Failf(meta.BuildFailedReason, "%s is defined twice, in %s and in %s: remove one", id, other, obj.File)
		}
		p.request.Origins[id] = obj.File
		if err := p.ignoreFields(ctx, obj.Unstructured); err != nil {
			return err
		}
		p.request.Objects = append(p.request.Objects, obj.Unstructured)
	}
	return nil
}

// checkScope sees to it that an object has a namespace when, and only when, its kind lives in namespaces. A kind that
// the cluster does not serve yet may come with the same apply.
func (p *pass) checkScope(obj kustomize.Object) error {
	namespaced, err := p.client.Namespaced(obj.GroupVersionKind())
	if err != nil {
		return nil //nolint:nilerr // the dry run says it, naming the object
	}
	if namespaced && obj.GetNamespace() == "" {
		return reconcile.Failf(meta.BuildFailedReason, "%s: %s/%s has no namespace: set metadata.namespace in the file, or spec.targetNamespace",
			obj.File, obj.GetKind(), obj.GetName())
	}
	if !namespaced && obj.GetNamespace() != "" {
		obj.SetNamespace("")
	}
	return nil
}
