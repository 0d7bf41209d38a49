package writeback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
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
	// forgotten is when somebody last found an answer to be wrong.
	forgotten time.Time
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
	seen := time.Now()
	at, ok, err := l.inSync(ctx, pack)
	if err == nil && !ok {
		at, seen, ok, err = l.inKustomization(ctx, pack)
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
	l.known[pack.UID] = located{at, seen.Add(remembered)}
	return at, true, nil
}

// Forget makes the next Locate of a Pack look again.
func (l *Locator) Forget(pack *packv1.Pack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, pack.UID)
	l.forgotten = time.Now()
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

// inKustomization looks for the Pack in what its Kustomization is built from, and says when that was seen.
func (l *Locator) inKustomization(ctx context.Context, pack *packv1.Pack) (at Location, seen time.Time, found bool, err error) {
	key := types.NamespacedName{Namespace: pack.Labels[labelNamespace], Name: pack.Labels[labelName]}
	if key.Name == "" || key.Namespace == "" || l.Policy.NoCrossNamespaceRefs && key.Namespace != pack.Namespace {
		return at, seen, false, nil
	}
	var k ksv1.Kustomization
	err = l.Reader.Get(ctx, key, &k)
	if apierrors.IsNotFound(err) {
		return at, seen, false, nil
	}
	if err != nil {
		return at, seen, false, fmt.Errorf("reading Kustomization %s: %w", key, err)
	}
	if k.Spec.SourceRef.Kind != sourcev1.GitRepositoryKind {
		return at, seen, false, refusef("Kustomization %s is built from a %s, which cannot be written: change the Pack where that is made", key, k.Spec.SourceRef.Kind)
	}
	from := types.NamespacedName{Namespace: k.Spec.SourceRef.Namespace, Name: k.Spec.SourceRef.Name}
	if from.Namespace == "" {
		from.Namespace = k.Namespace
	}
	if l.Policy.NoCrossNamespaceRefs && from.Namespace != k.Namespace {
		return at, seen, false, refusef("Kustomization %s refers to another namespace, which is switched off", key)
	}
	var repository sourcev1.GitRepository
	if err := l.Reader.Get(ctx, from, &repository); err != nil {
		return at, seen, false, fmt.Errorf("reading GitRepository %s of Kustomization %s: %w", from, key, err)
	}
	target, err := l.repositoryTarget(ctx, &repository)
	if err != nil {
		return at, seen, false, err
	}
	object := ObjectOf(client.ObjectKeyFromObject(pack))
	file, seen, err := l.search(ctx, target, &k, object)
	if err != nil {
		return at, seen, false, err
	}
	return Location{Target: target, Path: file, Object: object, Follower: &repository}, seen, true, nil
}

// searched is a branch, and what a look through all of its files found. It is used by one at a time.
type searched struct {
	mu     sync.Mutex
	branch *git.Branch
	// head is the commit that was looked through, looked when that was the newest.
	head   string
	looked time.Time
	// packs are the files that hold a Pack. Where a file does not say the namespace, there is none in the key.
	packs map[yamlfile.Object][]string
	// patching are the kustomizations that may change Packs.
	patching []string
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

// search finds the one file that holds the Pack, and says when that was so.
func (l *Locator) search(ctx context.Context, t Target, k *ksv1.Kustomization, wanted yamlfile.Object) (string, time.Time, error) {
	s := l.branch(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	forgotten := l.forgotten
	l.mu.Unlock()
	if time.Since(s.looked) >= remembered || s.looked.Before(forgotten) {
		if err := s.look(ctx); err != nil {
			return "", s.looked, err
		}
	}
	for _, under := range []string{strings.Trim(path.Clean("/"+k.Spec.Path), "/"), ""} {
		switch found := s.holding(wanted, under); len(found) {
		case 0:
		case 1:
			return found[0], s.looked, s.generated(k, found[0])
		default:
			return "", s.looked, refusef("Pack %s/%s is in more than one file (%s): connect the right one with a PackSync", wanted.Namespace, wanted.Name, strings.Join(found, ", "))
		}
	}
	return "", s.looked, refusef("no file of the repository holds Pack %s/%s, so it is generated: change what it is generated from, or move it to a file of its own", wanted.Namespace, wanted.Name)
}

// look reads the branch where it has another commit than the last time.
func (s *searched) look(ctx context.Context) error {
	// What was read is not kept: between two looks at it lies a minute, and most of it is never used again.
	defer func() { _ = s.branch.Close() }()
	began := time.Now()
	if _, err := s.branch.Sync(ctx); err != nil {
		return err
	}
	if s.packs != nil && s.head == s.branch.Head() {
		s.looked = began
		return nil
	}
	packs, patching := map[yamlfile.Object][]string{}, []string(nil)
	err := s.branch.Walk(ctx, "", func(f git.File) error {
		name := path.Base(f.Path)
		isPatching := name == "kustomization.yaml" || name == "kustomization.yml" || name == "Kustomization"
		if ext := path.Ext(name); !isPatching && ext != ".yaml" && ext != ".yml" {
			return nil
		}
		data, err := f.Read()
		if git.KindOf(err) == git.Refused {
			return nil // it is not looked at by kustomize either
		}
		if err != nil {
			return err
		}
		if isPatching && mayChangePacks(data) {
			patching = append(patching, f.Path)
		}
		for _, object := range packsIn(data) {
			packs[object] = append(packs[object], f.Path)
		}
		return nil
	})
	if git.IsBroken(err) {
		s.branch.Distrust()
	}
	if err != nil {
		return err
	}
	s.head, s.looked, s.packs, s.patching = s.branch.Head(), began, packs, patching
	return nil
}

// packsIn names the Packs that a file holds, each once. A template of something else holds none.
func packsIn(data []byte) []yamlfile.Object {
	if !bytes.Contains(data, []byte(packv1.PackKind)) {
		return nil
	}
	documents, err := yamlfile.Documents(data)
	if err != nil {
		return nil
	}
	var found []yamlfile.Object
	for _, d := range documents {
		if d.Group == packv1.GroupVersion.Group && d.Kind == packv1.PackKind && !slices.Contains(found, d.Object) {
			found = append(found, d.Object)
		}
	}
	return found
}

// holding lists the files below a folder that hold an object: with its namespace, or else without any.
func (s *searched) holding(wanted yamlfile.Object, under string) []string {
	bare := wanted
	bare.Namespace = ""
	for _, object := range []yamlfile.Object{wanted, bare} {
		var found []string
		for _, file := range s.packs[object] {
			if under == "" || strings.HasPrefix(file, under+"/") {
				found = append(found, file)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// generated refuses a file that is changed on its way to the cluster: a change of it might not arrive.
func (s *searched) generated(k *ksv1.Kustomization, file string) error {
	const mend = ": change it there, or move the Pack to a file that nothing patches"
	for i, p := range k.Spec.Patches {
		if p.Target == nil && strings.Contains(p.Patch, "kind: "+packv1.PackKind) || p.Target != nil && (p.Target.Kind == "" || p.Target.Kind == packv1.PackKind) {
			return refusef("spec.patches[%d] of Kustomization %s/%s may change the Pack in %s%s", i, k.Namespace, k.Name, file, mend)
		}
	}
	for _, patching := range s.patching {
		if related(patching, file, k.Spec.Path) {
			return refusef("%s may change the Pack in %s before it is applied%s", patching, file, mend)
		}
	}
	return nil
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
