package packsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/writeback"
)

// kustomizationLabel names the Kustomization that applies an object.
const kustomizationLabel = "kustomize.toolkit.fluxcd.io/name"

// pass is one pass over one PackSync.
type pass struct {
	*Controller
	obj    *peykv1.PackSync
	target writeback.Target
	signer git.Signer
	memory *memory
	// moved says that something was taken over, in either direction, committed that Git was written to.
	moved, committed bool
	// outcome is what the Ready condition is to say, once everything else is done.
	outcome error
}

func (p *pass) credentials(ctx context.Context) error {
	var err error
	if p.target, err = writeback.TargetOf(ctx, p.live, p.obj); err != nil {
		return reconcile.Fail(reasonAccess, err)
	}
	if p.signer, err = writeback.SignerOf(ctx, p.live, p.obj); err != nil {
		return reconcile.Fail(reasonAccess, err)
	}
	p.memory = p.recall()
	return nil
}

// recall returns what is known of this repository, as these credentials see it.
func (p *pass) recall() *memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	remote := p.target.Remote.Key() + " " + p.target.Branch
	m := p.Controller.memory[p.obj.UID]
	if m == nil || m.remote != remote {
		m = &memory{remote: remote, branch: p.Mirrors.Branch(p.target.Remote, p.target.Branch, "packsync "+string(p.obj.UID))}
		p.Controller.memory[p.obj.UID] = m
	}
	return m
}

// read looks at the branch, and through its files where it has another commit than the last time.
func (p *pass) read(ctx context.Context) error {
	m := p.memory
	if _, err := m.branch.Sync(ctx); err != nil {
		return failed(err)
	}
	p.target.Branch = m.branch.Name()
	p.obj.Status.Branch = m.branch.Name()
	if m.files != nil && m.head == m.branch.Head() && m.generation == p.obj.Generation {
		return nil
	}
	found, err := scan(ctx, m.branch, p.obj)
	if git.IsBroken(err) {
		m.branch.Distrust()
	}
	if err != nil {
		return failed(err)
	}
	m.files, m.head, m.generation = append([]*file{}, found...), m.branch.Head(), p.obj.Generation
	return m.branch.Close()
}

// failed gives an error of the Git adapter its reason.
func failed(err error) error {
	switch git.KindOf(err) {
	case git.BadURL:
		return reconcile.Stallf(reasonGit, "spec.url: %w", err)
	case git.Denied, git.BadCredentials:
		return reconcile.Failf(reasonAccess, "spec.secretRef: %w", err)
	case git.NoRevision:
		return reconcile.Failf(reasonGit, "spec.ref.branch: %w", err)
	}
	return reconcile.Fail(reasonGit, err)
}

// sync makes each Pack and its file the same, where it is known which one is right.
func (p *pass) sync(ctx context.Context) error {
	pairs, seconds, err := p.pairs(ctx)
	if err != nil {
		return reconcile.Fail(reasonFailed, err)
	}
	decisions := make([]decision, len(pairs))
	for i := range pairs {
		decisions[i] = decide(pairs[i], p.obj.Spec)
	}
	spare(decisions)
	var packs []peykv1.SyncedPack
	var problems []error
	for i := range pairs {
		entry, err := p.act(ctx, &pairs[i], decisions[i])
		if err != nil {
			problems = append(problems, fmt.Errorf("Pack %s: %w", pairs[i].key, err))
		}
		if entry.State != "" {
			packs = append(packs, entry)
		}
	}
	p.obj.Status.Packs = append(packs, seconds...)
	if p.committed {
		if _, err := p.memory.branch.Sync(ctx); err != nil {
			problems = append(problems, err)
		}
	}
	p.conclude()
	if err := p.sweep(ctx); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		p.outcome = reconcile.Fail(reasonFailed, errors.Join(problems...))
	} else {
		p.outcome = p.conflicts()
	}
	return nil
}

// spare keeps Packs from being deleted when every file is gone at once: a wrong branch or path is likelier than that.
func spare(decisions []decision) {
	deleted, alive := 0, 0
	for _, d := range decisions {
		switch {
		case d.action == deletePack:
			deleted++
		case d.state == peykv1.PackSynced:
			alive++
		}
	}
	if deleted < 2 || alive > 0 {
		return
	}
	for i := range decisions {
		if decisions[i].action == deletePack {
			decisions[i] = unmapped("all files are gone at once, so the Pack was left as it is: look at spec.paths and the branch, or delete the Pack")
		}
	}
}

func (p *pass) conclude() {
	s := &p.obj.Status
	slices.SortFunc(s.Packs, func(a, b peykv1.SyncedPack) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path))
	})
	synced := 0
	for _, pack := range s.Packs {
		if pack.State == peykv1.PackSynced {
			synced++
		}
	}
	s.Connected = fmt.Sprintf("%d/%d", synced, len(s.Packs))
	if head := p.memory.branch.Head(); head != "" {
		s.Revision = git.Revision{Name: s.Branch, Commit: head}.String()
	}
	if p.moved || s.LastSyncTime == nil {
		s.LastSyncTime = &metav1.Time{Time: p.clock.Now()}
	}
}

// conflicts waits for people where only they can go on.
func (p *pass) conflicts() error {
	for _, pack := range p.obj.Status.Packs {
		if pack.State == peykv1.PackConflict || pack.State == peykv1.PackInvalid {
			return reconcile.Wait(reasonConflict, fmt.Sprintf("%s in sync; %s %s/%s (%s): %s", p.obj.Status.Connected, pack.State, pack.Namespace, pack.Name, pack.Path, pack.Message), interval(p.obj))
		}
	}
	return nil
}

func (p *pass) ready() (reason, message string) {
	return reasonSynced, fmt.Sprintf("%s Packs in sync with branch %s", p.obj.Status.Connected, p.obj.Status.Branch)
}

// pairs puts Packs and files together. Files that are second to hold a Pack are returned as they are shown.
func (p *pass) pairs(ctx context.Context) (pairs []pair, seconds []peykv1.SyncedPack, err error) {
	by := map[types.NamespacedName]*pair{}
	at := func(key types.NamespacedName) *pair {
		if by[key] == nil {
			by[key] = &pair{key: key}
		}
		return by[key]
	}
	for _, m := range p.obj.Spec.Mappings {
		at(types.NamespacedName{Namespace: p.obj.Namespace, Name: m.Pack}).mapping = m
	}
	for _, was := range p.obj.Status.Packs {
		if was.Name != "" && (was.Base != "" || was.State == peykv1.PackDetached) {
			at(types.NamespacedName{Namespace: was.Namespace, Name: was.Name}).was = was
		}
	}
	for _, f := range p.memory.files {
		if second := p.claim(f, at); second != nil {
			seconds = append(seconds, *second)
		}
	}
	if err := p.packs(ctx, by, at); err != nil {
		return nil, nil, err
	}
	for key := range by {
		if err := p.complete(ctx, by[key]); err != nil {
			return nil, nil, err
		}
		pairs = append(pairs, *by[key])
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.key.String(), b.key.String()) })
	return pairs, seconds, nil
}

// claim gives a file to its Pack, or returns how it is shown when it cannot be.
func (p *pass) claim(f *file, at func(types.NamespacedName) *pair) *peykv1.SyncedPack {
	shown := peykv1.SyncedPack{Name: f.key.Name, Namespace: f.key.Namespace, Path: f.path, State: peykv1.PackInvalid, Message: f.problem}
	if f.key.Name == "" {
		return &shown
	}
	if err := p.Policy.CheckRef(p.obj.Namespace, f.key.Namespace, "metadata.namespace"); err != nil {
		shown.Message = fmt.Sprintf("a PackSync looks after the Packs of its own namespace only, %s", p.obj.Namespace)
		return &shown
	}
	own := at(f.key)
	if own.file == nil {
		own.file = f
		return nil
	}
	preferred := cmp.Or(own.mapping.Path, own.was.Path)
	other := f
	if f.path == preferred && own.file.path != preferred {
		own.file, other = f, own.file
	}
	shown.Path, shown.State = other.path, peykv1.PackConflict
	shown.Message = fmt.Sprintf("a second file of a Pack that %s holds: remove one, or choose one in spec.mappings", own.file.path)
	return &shown
}

// packs reads the Packs, past the cache.
func (p *pass) packs(ctx context.Context, by map[types.NamespacedName]*pair, at func(types.NamespacedName) *pair) error {
	var all packv1.PackList
	if err := p.live.List(ctx, &all, client.InNamespace(p.obj.Namespace)); err != nil {
		return fmt.Errorf("listing Packs: %w", err)
	}
	for i := range all.Items {
		at(client.ObjectKeyFromObject(&all.Items[i])).pack = &all.Items[i]
	}
	for key, own := range by {
		if key.Namespace == p.obj.Namespace {
			continue
		}
		pack := &packv1.Pack{}
		if err := p.live.Get(ctx, key, pack); err == nil {
			own.pack = pack
		} else if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading Pack %s: %w", key, err)
		}
	}
	return nil
}

// complete reads the specs of a pair.
func (p *pass) complete(ctx context.Context, own *pair) (err error) {
	if own.file != nil {
		own.git = own.file.spec
	}
	if own.pack == nil {
		return nil
	}
	if own.cluster, err = specOf(own.pack.Spec); err != nil {
		return fmt.Errorf("reading Pack %s: %w", own.key, err)
	}
	if own.file == nil || own.was.Base == "" || own.git.digest() == own.cluster.digest() {
		return nil
	}
	own.base, err = p.base(ctx, own.key, own.was.Base)
	return err
}
