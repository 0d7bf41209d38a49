package packsync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/writeback"
	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

// createdAnnotation names, on a Pack, the PackSync that made it from a file.
const createdAnnotation = "peyk.dev/created-by-pack-sync"

// act does what was decided and returns how the pair is shown. An error is one that trying again can mend; what people
// have to mend is shown.
func (p *pass) act(ctx context.Context, own *pair, d decision) (peykv1.SyncedPack, error) {
	shown := peykv1.SyncedPack{
		Name: own.key.Name, Namespace: own.key.Namespace, Path: own.mapping.Path, State: d.state, Message: d.message, Base: own.was.Base,
		FromGit: own.pack != nil && own.pack.Annotations[createdAnnotation] == p.obj.Name,
	}
	switch {
	case own.file != nil:
		shown.Path = own.file.path
	case shown.Path == "":
		shown.Path = own.was.Path
	}
	common, err := p.do(ctx, own, d, &shown)
	if refusal := refusalOf(err); refusal != "" {
		shown.State, shown.Message = peykv1.PackInvalid, refusal
		return shown, nil
	}
	if err != nil {
		shown.State, shown.Message = own.was.State, "not done yet: "+err.Error()
		if shown.State == "" {
			shown.State = peykv1.PackUnmapped
		}
		return shown, err
	}
	if d.hide {
		return peykv1.SyncedPack{}, nil
	}
	if d.action != nothing {
		p.moved = true
		log.FromContext(ctx).Info("pack synced", "pack", own.key.String(), "path", shown.Path, "direction", d.action.String())
	}
	if common != nil && common.digest() != own.was.Base {
		p.moved = true
		shown.Base, err = p.keep(ctx, own.key, common)
	}
	return shown, err
}

// String says which way something went.
func (a action) String() string {
	switch a {
	case applyFile:
		return "to the cluster"
	case commitPack, commitFirst:
		return "to Git"
	case commitMerge:
		return "to both"
	case deletePack:
		return "deleted"
	}
	return "none"
}

// refusalOf is what people have to mend, of an error that no retry does.
func refusalOf(err error) string {
	if e, ok := errors.AsType[*writeback.RefusedError](err); ok {
		return e.Reason
	}
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
		return err.Error()
	}
	return ""
}

// do returns the spec that both sides have then, and nil when they do not have the same.
func (p *pass) do(ctx context.Context, own *pair, d decision, shown *peykv1.SyncedPack) (spec, error) {
	switch d.action {
	case applyFile:
		shown.FromGit = shown.FromGit || own.pack == nil
		return own.git, p.apply(ctx, own, own.git)
	case commitPack:
		if err := p.commit(ctx, own, own.cluster); err != nil {
			return nil, err
		}
		return own.cluster, p.handled(ctx, own)
	case commitFirst:
		if err := p.commitFirst(ctx, own, shown.Path); err != nil {
			return nil, err
		}
		return own.cluster, p.handled(ctx, own)
	case commitMerge:
		// The request stays until both are done: a merge of what is half merged has the same result.
		if err := p.commit(ctx, own, d.merged); err != nil {
			return nil, err
		}
		return d.merged, p.apply(ctx, own, d.merged)
	case deletePack:
		return nil, p.delete(ctx, own)
	}
	if d.state == peykv1.PackSynced {
		return own.cluster, p.handled(ctx, own)
	}
	if resolution(*own) != "" && d.state == peykv1.PackConflict {
		return nil, p.handled(ctx, own)
	}
	return nil, nil
}

var packKind = packv1.GroupVersion.WithKind(packv1.PackKind)

// apply makes the Pack in the cluster have a spec, with the labels and annotations of its file.
func (p *pass) apply(ctx context.Context, own *pair, want spec) error {
	c, err := p.Clients.For(p.Policy.Identity(p.obj.Namespace, p.obj.Spec.ServiceAccountName))
	if err != nil {
		return err
	}
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any(want)}}
	obj.SetGroupVersionKind(packKind)
	obj.SetName(own.key.Name)
	obj.SetNamespace(own.key.Namespace)
	from := unstructured.Unstructured{Object: own.file.object}
	obj.SetLabels(from.GetLabels())
	annotations := maps.Clone(from.GetAnnotations())
	if own.pack == nil || own.pack.Annotations[createdAnnotation] == p.obj.Name {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[createdAnnotation] = p.obj.Name
	}
	obj.SetAnnotations(annotations)
	if own.pack != nil {
		// A change that was made since the decision is not overwritten: it is decided about.
		obj.SetResourceVersion(own.pack.ResourceVersion)
		obj.SetUID(own.pack.UID)
	}
	live, _, err := c.Apply(ctx, obj, kube.ApplyOptions{Manager: manager})
	if err != nil {
		return err
	}
	if is, err := specOf(live.Object["spec"]); err != nil || is.digest() != want.digest() {
		// Fields of others, who do not let go of them.
		patch, err := json.Marshal([]map[string]any{
			{"op": "test", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
			{"op": "replace", "path": "/spec", "value": want},
		})
		if err != nil {
			return fmt.Errorf("encoding the spec: %w", err)
		}
		if live, err = c.Patch(ctx, live, patch, manager); err != nil {
			return err
		}
		if is, err := specOf(live.Object["spec"]); err != nil || is.digest() != want.digest() {
			return &writeback.RefusedError{Reason: "the cluster does not keep the spec as the file has it"}
		}
	}
	return p.handled(ctx, own)
}

func (p *pass) delete(ctx context.Context, own *pair) error {
	c, err := p.Clients.For(p.Policy.Identity(p.obj.Namespace, p.obj.Spec.ServiceAccountName))
	if err != nil {
		return err
	}
	return c.Delete(ctx, packKind, own.key.Namespace, own.key.Name, own.pack.UID)
}

// errChanged says that the file is not what was decided about any more.
var errChanged = errors.New("the file was changed a moment ago")

// commit makes the file have a spec, in as few lines as it takes.
func (p *pass) commit(ctx context.Context, own *pair, want spec) error {
	object := writeback.ObjectOf(own.key)
	_, err := p.Writer.Submit(ctx, p.change(own, own.file.path, fmt.Sprintf("Update pack %s", own.key), func(old []byte) ([]byte, error) {
		return yamlfile.Update(old, object, func(pack map[string]any) error {
			is, err := specOf(pack["spec"])
			if err != nil {
				return err
			}
			if is.digest() == want.digest() {
				return nil
			}
			if is.digest() != own.git.digest() {
				return errChanged
			}
			pack["spec"] = graft(pack["spec"], is, want)
			return nil
		})
	}))
	p.committed = p.committed || err == nil
	return err
}

// commitFirst writes a file for a Pack that has none.
func (p *pass) commitFirst(ctx context.Context, own *pair, path string) error {
	content, err := yamlfile.Encode(map[string]any{
		"apiVersion": packv1.GroupVersion.String(), "kind": packv1.PackKind, "metadata": metadata(own.pack), "spec": map[string]any(own.cluster),
	})
	if err != nil {
		return err
	}
	message := fmt.Sprintf("Initializing pack %s with path %q", own.key.Name, path)
	_, err = p.Writer.Submit(ctx, p.change(own, path, message, func(old []byte) ([]byte, error) {
		if len(old) == 0 {
			return content, nil
		}
		if _, err := yamlfile.Find(old, writeback.ObjectOf(own.key)); err == nil {
			return nil, errChanged
		}
		if !strings.HasSuffix(string(old), "\n") {
			old = append(old, '\n')
		}
		return append(append(old, "---\n"...), content...), nil
	}))
	p.committed = p.committed || err == nil
	return err
}

// metadata is what a new file says of a Pack besides its spec.
func metadata(pack *packv1.Pack) map[string]any {
	m := map[string]any{"name": pack.Name, "namespace": pack.Namespace}
	if len(pack.Labels) > 0 {
		labels := map[string]any{}
		for name, value := range pack.Labels {
			labels[name] = value
		}
		m["labels"] = labels
	}
	return m
}

// change is a commit of one file of the PackSync.
func (p *pass) change(own *pair, path, message string, edit func([]byte) ([]byte, error)) writeback.Change {
	c := writeback.Change{Target: p.target, Path: path, Edit: edit, Message: message, Sign: p.signer, Request: writeback.NewRequest()}
	if author := p.obj.Spec.Author; author != nil {
		c.Author = git.Signature{Name: author.Name, Email: author.Email}
	}
	if text := own.pack.Annotations[peykv1.MessageAnnotation]; text != "" {
		c.Message = text
	}
	if text := own.pack.Annotations[peykv1.AuthorAnnotation]; text != "" {
		c.Author = git.Signature{Name: text}
		if address, err := mail.ParseAddress(text); err == nil {
			c.Author = git.Signature{Name: address.Name, Email: address.Address}
		}
	}
	return c
}

// handled takes the requests that were acted on from the Pack.
func (p *pass) handled(ctx context.Context, own *pair) error {
	if own.pack == nil {
		return nil
	}
	var ops []map[string]any
	for _, name := range []string{peykv1.ResolveAnnotation, peykv1.MessageAnnotation, peykv1.AuthorAnnotation} {
		if value, ok := own.pack.Annotations[name]; ok {
			path := "/metadata/annotations/" + strings.ReplaceAll(name, "/", "~1")
			// A request that was made since is another one.
			ops = append(ops, map[string]any{"op": "test", "path": path, "value": value}, map[string]any{"op": "remove", "path": path})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	patch, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	err = p.own.Patch(ctx, own.pack.DeepCopy(), client.RawPatch(types.JSONPatchType, patch), client.FieldOwner("peyk"))
	if apierrors.IsInvalid(err) {
		return nil
	}
	return client.IgnoreNotFound(err)
}
