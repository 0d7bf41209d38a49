package writeback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

// Location is the file that a Pack lives in.
type Location struct {
	Target
	// Path is the file, Object the Pack as the file names it.
	Path   string
	Object yamlfile.Object
	// Follower is the object that brings the file to the cluster: a PackSync or a GitRepository.
	Follower client.Object
	// Author is who makes commits that nobody in particular asked for, Sign signs them. Optional.
	Author git.Signature
	Sign   git.Signer
}

// Locator finds out where in Git Packs live.
type Locator struct {
	// Reader reads objects, Secrets reads Secrets, past any cache.
	Reader, Secrets client.Reader
	Mirrors         *git.Mirrors
	Policy          tenancy.Policy

	mu       sync.Mutex
	known    map[types.UID]located
	branches map[string]*searched
}

// located is an answer that is good for a while: a call of a webhook must not cost a look through the repository.
type located struct {
	Location
	until time.Time
}

const remembered = time.Minute

// ObjectOf names a Pack as files do.
func ObjectOf(key types.NamespacedName) yamlfile.Object {
	return yamlfile.Object{Group: packv1.GroupVersion.Group, Kind: packv1.PackKind, Namespace: key.Namespace, Name: key.Name}
}

// Locate returns the file that a Pack lives in, and whether it lives in one: a Pack that a PackSync connects, or that a
// Kustomization applied from a GitRepository. A *RefusedError says that it lives in Git and cannot be changed there.
func (l *Locator) Locate(ctx context.Context, pack *packv1.Pack) (Location, bool, error) {
	l.mu.Lock()
	known, ok := l.known[pack.UID]
	l.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.Location, true, nil
	}
	at, ok, err := l.inSync(ctx, pack)
	if err == nil && !ok {
		at, ok, err = l.inKustomization(ctx, pack)
	}
	if err != nil || !ok {
		return Location{}, false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[types.UID]located{}
	}
	now := time.Now()
	for uid, old := range l.known {
		if now.After(old.until) {
			delete(l.known, uid)
		}
	}
	l.known[pack.UID] = located{at, now.Add(remembered)}
	return at, true, nil
}

// Forget makes the next Locate of a Pack look again.
func (l *Locator) Forget(pack *packv1.Pack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, pack.UID)
}

// inSync asks the PackSyncs for the Pack.
func (l *Locator) inSync(ctx context.Context, pack *packv1.Pack) (Location, bool, error) {
	var all peykv1.PackSyncList
	if err := l.Reader.List(ctx, &all); err != nil {
		return Location{}, false, fmt.Errorf("listing PackSyncs: %w", err)
	}
	for i := range all.Items {
		sync := &all.Items[i]
		if sync.Namespace != pack.Namespace && l.Policy.NoCrossNamespaceRefs {
			continue
		}
		for _, p := range sync.Status.Packs {
			if p.Name != pack.Name || p.Namespace != pack.Namespace || p.Path == "" {
				continue
			}
			switch p.State {
			case peykv1.PackSynced:
				at, err := l.syncLocation(ctx, sync, pack, p.Path)
				return at, err == nil, err
			case peykv1.PackConflict, peykv1.PackInvalid:
				return Location{}, false, refusef("PackSync %s/%s, file %s: %s", sync.Namespace, sync.Name, p.Path, p.Message)
			}
		}
	}
	return Location{}, false, nil
}

func (l *Locator) syncLocation(ctx context.Context, sync *peykv1.PackSync, pack *packv1.Pack, path string) (Location, error) {
	if sync.Spec.Suspend {
		return Location{}, refusef("PackSync %s/%s is suspended: resume it", sync.Namespace, sync.Name)
	}
	t, err := TargetOf(ctx, l.Secrets, sync)
	if err != nil {
		return Location{}, refusef("PackSync %s/%s: %v", sync.Namespace, sync.Name, err)
	}
	signer, err := SignerOf(ctx, l.Secrets, sync)
	if err != nil {
		return Location{}, refusef("PackSync %s/%s: %v", sync.Namespace, sync.Name, err)
	}
	at := Location{Target: t, Path: path, Object: ObjectOf(client.ObjectKeyFromObject(pack)), Follower: sync, Sign: signer}
	if author := sync.Spec.Author; author != nil {
		at.Author = git.Signature{Name: author.Name, Email: author.Email}
	}
	return at, nil
}

// The labels of the Kustomization that applied an object.
const (
	labelName      = "kustomize.toolkit.fluxcd.io/name"
	labelNamespace = "kustomize.toolkit.fluxcd.io/namespace"
)

// inKustomization looks for the Pack in what its Kustomization is built from.
func (l *Locator) inKustomization(ctx context.Context, pack *packv1.Pack) (Location, bool, error) {
	key := types.NamespacedName{Namespace: pack.Labels[labelNamespace], Name: pack.Labels[labelName]}
	if key.Name == "" || key.Namespace == "" || l.Policy.NoCrossNamespaceRefs && key.Namespace != pack.Namespace {
		return Location{}, false, nil
	}
	var k ksv1.Kustomization
	err := l.Reader.Get(ctx, key, &k)
	if apierrors.IsNotFound(err) {
		return Location{}, false, nil
	}
	if err != nil {
		return Location{}, false, fmt.Errorf("reading Kustomization %s: %w", key, err)
	}
	if k.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind {
		return Location{}, false, refusef("Kustomization %s is built from a %s, which cannot be written: change the Pack where that is made", key, k.Spec.SourceRef.Kind)
	}
	from := types.NamespacedName{Namespace: k.Spec.SourceRef.Namespace, Name: k.Spec.SourceRef.Name}
	if from.Namespace == "" {
		from.Namespace = k.Namespace
	}
	if l.Policy.NoCrossNamespaceRefs && from.Namespace != k.Namespace {
		return Location{}, false, refusef("Kustomization %s refers to another namespace, which is switched off", key)
	}
	var repository sourcev1.GitRepository
	if err := l.Reader.Get(ctx, from, &repository); err != nil {
		return Location{}, false, fmt.Errorf("reading GitRepository %s of Kustomization %s: %w", from, key, err)
	}
	target, err := l.repositoryTarget(ctx, &repository)
	if err != nil {
		return Location{}, false, err
	}
	file, object, err := l.search(ctx, target, &k, pack)
	if err != nil {
		return Location{}, false, err
	}
	return Location{Target: target, Path: file, Object: object, Follower: &repository}, true, nil
}

// searched is a branch that was looked through. It is used by one at a time.
type searched struct {
	mu     sync.Mutex
	branch *git.Branch
}

func (l *Locator) branch(t Target) *searched {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := t.Remote.Key() + " " + t.Branch
	if l.branches == nil {
		l.branches = map[string]*searched{}
	}
	if l.branches[key] == nil {
		l.branches[key] = &searched{branch: l.Mirrors.Branch(t.Remote, t.Branch, "locate")}
	}
	return l.branches[key]
}

// search finds the one file that holds the Pack.
func (l *Locator) search(ctx context.Context, t Target, k *ksv1.Kustomization, pack *packv1.Pack) (string, yamlfile.Object, error) {
	s := l.branch(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	// What was read is not kept: between two looks at it lies a minute, and most of it is never used again.
	defer func() { _ = s.branch.Close() }()
	if _, err := s.branch.Sync(ctx); err != nil {
		return "", yamlfile.Object{}, err
	}
	wanted := ObjectOf(client.ObjectKeyFromObject(pack))
	for _, under := range []string{k.Spec.Path, ""} {
		exact, bare, err := files(ctx, s.branch, under, wanted)
		if err != nil {
			return "", wanted, err
		}
		found := exact
		if len(found) == 0 {
			found = bare
		}
		switch {
		case len(found) == 1:
			return found[0], wanted, generated(ctx, s.branch, k, found[0])
		case len(found) > 1:
			return "", wanted, refusef("Pack %s/%s is in more than one file (%s): connect the right one with a PackSync", pack.Namespace, pack.Name, strings.Join(found, ", "))
		}
	}
	return "", wanted, refusef("no file of the repository holds Pack %s/%s, so it is generated: change what it is generated from, or move it to a file of its own", pack.Namespace, pack.Name)
}

// files lists the files that hold an object: with its namespace, and without any.
func files(ctx context.Context, b *git.Branch, under string, wanted yamlfile.Object) (exact, bare []string, err error) {
	err = b.Walk(ctx, under, func(f git.File) error {
		if ext := path.Ext(f.Path); ext != ".yaml" && ext != ".yml" {
			return nil
		}
		data, err := f.Read()
		if git.KindOf(err) == git.Refused || err == nil && (!bytes.Contains(data, []byte(wanted.Kind)) || !bytes.Contains(data, []byte(wanted.Name))) {
			return nil
		}
		if err != nil {
			return err
		}
		documents, err := yamlfile.Documents(data)
		if err != nil {
			return nil //nolint:nilerr // a template of something else, which holds no Pack
		}
		for _, d := range documents {
			switch {
			case !d.Has(wanted):
			case d.Namespace != "":
				exact = append(exact, f.Path)
			default:
				bare = append(bare, f.Path)
			}
		}
		return nil
	})
	return exact, bare, err
}

// generated refuses a file that is changed on its way to the cluster: a change of it might not arrive.
func generated(ctx context.Context, b *git.Branch, k *ksv1.Kustomization, file string) error {
	const mend = ": change it there, or move the Pack to a file that nothing patches"
	for i, p := range k.Spec.Patches {
		if p.Target == nil && strings.Contains(p.Patch, "kind: "+packv1.PackKind) || p.Target != nil && (p.Target.Kind == "" || p.Target.Kind == packv1.PackKind) {
			return refusef("spec.patches[%d] of Kustomization %s/%s may change the Pack in %s%s", i, k.Namespace, k.Name, file, mend)
		}
	}
	return b.Walk(ctx, "", func(f git.File) error {
		if name := path.Base(f.Path); name != "kustomization.yaml" && name != "kustomization.yml" && name != "Kustomization" {
			return nil
		}
		data, err := f.Read()
		if err != nil {
			return nil //nolint:nilerr // it is not looked at by kustomize either
		}
		if !mayChangePacks(data) || !related(f.Path, file, k.Spec.Path) {
			return nil
		}
		return refusef("%s may change the Pack in %s before it is applied%s", f.Path, file, mend)
	})
}

// related says whether a kustomization can be on the way from the file to the cluster: it is above it, or in the folder
// that is built.
func related(kustomization, file, built string) bool {
	dir := path.Dir(kustomization)
	built = path.Clean(strings.TrimPrefix(path.Clean("/"+built), "/"))
	return dir == "." || dir == built || strings.HasPrefix(file, dir+"/")
}

// mayChangePacks says whether a kustomization.yaml has patches that could be meant for Packs.
func mayChangePacks(data []byte) bool {
	documents, err := yamlfile.Parse(data)
	if err != nil {
		return true
	}
	for _, content := range documents {
		for _, field := range []string{"patchesStrategicMerge", "patchesJson6902", "replacements", "transformers", "namePrefix", "nameSuffix"} {
			if content[field] != nil {
				return true
			}
		}
		patches, _ := content["patches"].([]any)
		for _, p := range patches {
			patch, _ := p.(map[string]any)
			target, _ := patch["target"].(map[string]any)
			text, _ := patch["patch"].(string)
			if target == nil && (text == "" || strings.Contains(text, packv1.PackKind)) || target != nil && (target["kind"] == nil || target["kind"] == packv1.PackKind) {
				return true
			}
		}
	}
	return false
}

// IsMoved says whether err means that a file no longer holds the Pack; Forget and Locate find where it is now.
func IsMoved(err error) bool { return errors.Is(err, yamlfile.ErrNoObject) }
