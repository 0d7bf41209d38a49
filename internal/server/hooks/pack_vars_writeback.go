package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/writeback"
)

// Writeback are the repositories that Packs are found in by a Locator, and changed in by a Writer.
type Writeback struct {
	Client  client.Client
	Locator *writeback.Locator
	Writer  *writeback.Writer
	Log     *slog.Logger

	mu sync.Mutex
	// asking are the followers that are asked to look, and whether they are to be asked once more.
	asking map[string]bool
}

// Locate implements Repositories. A field that a Kustomization lets go of by spec.ignore is not Git's.
func (w *Writeback) Locate(ctx context.Context, obj *packv1.Pack, vars map[string]json.RawMessage) (*Place, error) {
	ignored, err := w.ignored(ctx, obj, vars)
	if err != nil || ignored {
		return nil, err
	}
	at, ok, err := w.Locator.Locate(ctx, obj)
	if err != nil || !ok {
		return nil, err
	}
	return &Place{Repository: at.Remote.Address(), Branch: at.Branch, Path: at.Path, Pack: obj, Handle: at}, nil
}

// The labels of the Kustomization that applied an object.
const (
	labelName      = "kustomize.toolkit.fluxcd.io/name"
	labelNamespace = "kustomize.toolkit.fluxcd.io/namespace"
)

// ignored says whether the Pack's Kustomization leaves all of the vars to others.
func (w *Writeback) ignored(ctx context.Context, obj *packv1.Pack, vars map[string]json.RawMessage) (bool, error) {
	key := types.NamespacedName{Namespace: obj.Labels[labelNamespace], Name: obj.Labels[labelName]}
	if key.Name == "" {
		return false, nil
	}
	var k ksv1.Kustomization
	if err := w.Client.Get(ctx, key, &k); err != nil {
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return false, err
	}
	for name := range vars {
		if !letsGo(&k, obj, name) {
			return false, nil
		}
	}
	return true, nil
}

// letsGo says whether a Kustomization ignores a var of a Pack.
func letsGo(k *ksv1.Kustomization, obj *packv1.Pack, name string) bool {
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	for _, rule := range k.Spec.Ignore {
		if t := rule.Target; t != nil && !(selects(t.Kind, packv1.PackKind) && selects(t.Name, obj.Name) && selects(t.Namespace, obj.Namespace)) {
			continue
		}
		for _, path := range rule.Paths {
			if path == "/spec/vars/"+escaped || path == "/spec/vars" || path == "/spec" {
				return true
			}
		}
	}
	return false
}

// selects matches as kustomize does: a pattern that has to fit whole, empty for everything.
func selects(pattern, text string) bool {
	matched, err := regexp.MatchString("^(?:"+pattern+")$", text)
	return pattern == "" || err == nil && matched
}

// errRehearsed ends a change before it is made.
var errRehearsed = errors.New("this was a rehearsal")

// Preview implements Repositories.
func (w *Writeback) Preview(ctx context.Context, at *Place, vars map[string]json.RawMessage) ([]string, error) {
	var lines []string
	_, err := w.submit(ctx, at, func(where writeback.Location) writeback.Change {
		set := writeback.SetVars(where.Object, vars)
		return writeback.Change{Edit: func(old []byte) ([]byte, error) {
			changed, err := set(old)
			if err != nil {
				return nil, err
			}
			lines = changedLines(old, changed)
			return nil, errRehearsed
		}}
	})
	if errors.Is(err, errRehearsed) {
		err = nil
	}
	return lines, err
}

// changedLines are the lines of a small change: those between what two files begin with and what they end with.
func changedLines(before, after []byte) []string {
	if bytes.Equal(before, after) {
		return nil
	}
	old, changed := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	for len(old) > 0 && len(changed) > 0 && old[0] == changed[0] {
		old, changed = old[1:], changed[1:]
	}
	for len(old) > 0 && len(changed) > 0 && old[len(old)-1] == changed[len(changed)-1] {
		old, changed = old[:len(old)-1], changed[:len(changed)-1]
	}
	var lines []string
	for _, line := range old {
		lines = append(lines, "-"+strings.TrimSuffix(line, "\r"))
	}
	for _, line := range changed {
		lines = append(lines, "+"+strings.TrimSuffix(line, "\r"))
	}
	return lines
}

// Commit implements Repositories.
func (w *Writeback) Commit(ctx context.Context, at *Place, c Commit) (Committed, error) {
	result, err := w.submit(ctx, at, func(where writeback.Location) writeback.Change {
		change := writeback.Change{
			Edit: writeback.SetVars(where.Object, c.Vars), Message: c.Message, IdempotencyKey: c.Key, Request: c.Request,
			Author: git.Signature{Name: c.Author + " (deploy webhook)", Email: "webhook@peyk.dev"},
		}
		for _, image := range c.Images {
			change.Trailers = append(change.Trailers, writeback.Trailer{Name: "Deployed-Image", Value: pinned(image)})
		}
		return change
	})
	return Committed{Commit: result.Commit, Unchanged: result.Unchanged}, err
}

func pinned(image Image) string {
	if image.Digest == "" || strings.Contains(image.Image, "@") {
		return image.Image
	}
	return image.Image + "@" + image.Digest
}

// submit makes a change where the Pack is, also when its file was moved a moment ago.
func (w *Writeback) submit(ctx context.Context, at *Place, of func(writeback.Location) writeback.Change) (writeback.Result, error) {
	where, ok := at.Handle.(writeback.Location)
	if !ok {
		return writeback.Result{}, errors.New("the place is not of this repository")
	}
	for last := false; ; last = true {
		change := of(where)
		change.Target, change.Path, change.Sign = where.Target, where.Path, where.Sign
		result, err := w.Writer.Submit(ctx, change)
		if !writeback.IsMoved(err) {
			return result, err
		}
		w.Locator.Forget(at.Pack)
		if last {
			return result, &writeback.RefusedError{Reason: fmt.Sprintf("%s: %v", where.Path, err)}
		}
		var found bool
		if where, found, err = w.Locator.Locate(ctx, at.Pack); err != nil || !found {
			return result, errors.Join(err, &writeback.RefusedError{Reason: "no file holds the Pack any longer"})
		}
		at.Path, at.Handle = where.Path, where
	}
}

// Sync implements Repositories. It does not wait, and asks once for all calls that come while it asks.
func (w *Writeback) Sync(at *Place) {
	where, ok := at.Handle.(writeback.Location)
	if !ok || where.Follower == nil {
		return
	}
	key := fmt.Sprintf("%T %s", where.Follower, client.ObjectKeyFromObject(where.Follower))
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, asking := w.asking[key]; asking {
		w.asking[key] = true
		return
	}
	if w.asking == nil {
		w.asking = map[string]bool{}
	}
	w.asking[key] = false
	// A copy, for the answer overwrites what is given, and what the Locator remembers is shared.
	follower, _ := where.Follower.DeepCopyObject().(client.Object)
	go w.ask(key, follower)
}

// askTimeout is how long one request for a look may take, askEvery how far apart two of them are at least.
const (
	askTimeout = 10 * time.Second
	askEvery   = 200 * time.Millisecond
)

// ask requests looks at a repository as long as somebody wants another one.
func (w *Writeback) ask(key string, follower client.Object) {
	for {
		if err := w.request(follower); err != nil {
			// It looks by itself before long.
			w.Log.Warn("asking for a look at the repository", "repository", key, "error", err.Error())
		}
		time.Sleep(askEvery)
		w.mu.Lock()
		if !w.asking[key] {
			delete(w.asking, key)
			w.mu.Unlock()
			return
		}
		w.asking[key] = false
		w.mu.Unlock()
	}
}

func (w *Writeback) request(follower client.Object) error {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		reconcile.RequestAnnotation: time.Now().UTC().Format(time.RFC3339Nano),
	}}})
	if err != nil {
		return err
	}
	return w.Client.Patch(ctx, follower, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("peyk"))
}
