package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// build renders the objects, unless they are known to be in place: the same inputs, an artifact in which nothing changed
// of what the last build looked at, and nothing drifted.
func (p *pass) build(ctx context.Context) error {
	m := p.remembered(p.obj)
	if m.pruned && p.engine.InSync(p.owner) && m.built.same(p.source.Digest, p.source.Dir, p.inputs.hash) {
		p.settled, p.built = true, m.built
		p.built.digest, p.built.revision, p.built.dir = p.source.Digest, p.source.Revision, p.source.Dir
		p.remember(p.obj, func(m *memo) { m.built = p.built })
		return nil
	}
	if p.inputs.values == nil {
		if err := p.readValues(ctx, p.inputs.versions); err != nil {
			return err
		}
	}
	objects, err := p.render(ctx, built{digest: p.source.Digest, revision: p.source.Revision, dir: p.source.Dir})
	if err == nil {
		return p.take(ctx, objects)
	}
	if repairErr := p.repairOlder(ctx, m.built); repairErr != nil {
		return reconcile.Fail(meta.BuildFailedReason, errors.Join(err, repairErr))
	}
	if errors.Is(err, kustomize.ErrPathNotFound) {
		return reconcile.Failf(meta.ArtifactFailedReason, "spec.path: %w; it is looked for in %s at %s", err, sourceOf(p.obj), p.source.Revision)
	}
	return reconcile.Fail(meta.BuildFailedReason, err)
}

// render builds the objects from a tree, and completes what is known of the build.
func (p *pass) render(ctx context.Context, from built) ([]kustomize.Object, error) {
	spec := p.obj.Spec
	request := kustomize.Request{
		Root: from.dir, Path: spec.Path, Namespace: spec.TargetNamespace,
		NamePrefix: spec.NamePrefix, NameSuffix: spec.NameSuffix, Patches: spec.Patches, Images: spec.Images,
		Components: spec.Components, IgnoreMissingComponents: spec.IgnoreMissingComponents, Variables: p.inputs.values.vars,
	}
	for _, option := range spec.BuildMetadata {
		request.BuildMetadata = append(request.BuildMetadata, string(option))
	}
	if m := spec.CommonMetadata; m != nil {
		request.Labels, request.Annotations = m.Labels, m.Annotations
	}
	if keys := p.inputs.values.keys; keys != nil {
		request.Opener = &decrypt.Opener{Keys: keys, IgnoreMAC: p.obj.Annotations[decrypt.MACAnnotation] == decrypt.MACIgnored}
	}
	timeout := p.obj.GetTimeout()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than spec.timeout (%s)", timeout))
	defer cancel()
	result, err := p.builds.run(ctx, client.ObjectKeyFromObject(p.obj), request)
	if request.Opener != nil && !errors.Is(err, errOverrun) {
		p.inputs.values.secrets = append(p.inputs.values.secrets, request.Opener.Secrets()...)
	}
	if err != nil {
		return nil, p.redacted(err)
	}
	sum := sha256.New()
	for _, obj := range result.Objects {
		if err := json.NewEncoder(sum).Encode(obj.Object); err != nil {
			return nil, err
		}
	}
	p.built = from
	p.built.inputs, p.built.reads = p.inputs.hash, result.Reads
	p.built.checksum = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return result.Objects, nil
}

// redacted returns err without the values of Secrets: kustomize and the API server quote what they refuse.
func (p *pass) redacted(err error) error {
	if p.inputs.values == nil {
		return err
	}
	return decrypt.Redact(err, p.inputs.values.secrets)
}

// repairOlder repairs drift while the newest commit does not build: with the tree of the last one that did, as long as it is
// there.
func (p *pass) repairOlder(ctx context.Context, last built) error {
	if last.reads == nil || last.inputs != p.inputs.hash || last.dir == p.source.Dir || p.engine.InSync(p.owner) {
		return nil
	}
	if _, err := os.Stat(last.dir); err != nil {
		return nil //nolint:nilerr // the tree is gone: nothing can be repaired before the next commit
	}
	objects, err := p.render(ctx, last)
	if err != nil {
		return nil //nolint:nilerr // it did build; the error of the newest commit counts
	}
	if err := p.take(ctx, objects); err != nil {
		return err
	}
	return p.write(ctx)
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
		if goesByItself(obj.Unstructured) {
			if p.built.jobs == nil {
				p.built.jobs = map[apply.ObjectID]bool{}
			}
			p.built.jobs[id] = true
		}
		p.request.Objects = append(p.request.Objects, obj.Unstructured)
	}
	return nil
}

// goesByItself says whether the cluster deletes the object when it is done.
func goesByItself(obj *unstructured.Unstructured) bool {
	_, found, _ := unstructured.NestedFieldNoCopy(obj.Object, "spec", "ttlSecondsAfterFinished")
	return found && obj.GetKind() == "Job" && obj.GroupVersionKind().Group == "batch"
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
