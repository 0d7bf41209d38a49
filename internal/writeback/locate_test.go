package writeback_test

import (
	"errors"
	"strings"
	"testing"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/writeback"
)

const packText = "apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata:\n  name: app\n  namespace: shop\nspec:\n  vars:\n    TAG: a # x\n"

// locator knows a Pack, what follows the repository, and the repository.
func (f *fixture) locator(objects ...client.Object) *writeback.Locator {
	f.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, sourcev1.AddToScheme, ksv1.AddToScheme, packv1.AddToScheme, peykv1.AddToScheme} {
		if err := add(scheme); err != nil {
			f.Fatal(err)
		}
	}
	mirrors, err := git.NewMirrors(f.TempDir(), git.DefaultLimits())
	if err != nil {
		f.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return &writeback.Locator{Reader: c, Secrets: c, Mirrors: mirrors}
}

func thePack() *packv1.Pack {
	return &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "app", UID: types.UID("1"), Labels: map[string]string{
		"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux",
	}}}
}

func (f *fixture) followers(change func(*ksv1.Kustomization, *sourcev1.GitRepository)) []client.Object {
	k := &ksv1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "apps"}, Spec: ksv1.KustomizationSpec{
		Path: "./packs", SourceRef: ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "repo"},
	}}
	repo := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "flux", Name: "repo"}, Spec: sourcev1.GitRepositorySpec{
		URL: f.target.Remote.URL, Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
	}}
	if change != nil {
		change(k, repo)
	}
	return []client.Object{k, repo}
}

// TestLocateByKustomization finds the one file that can be changed, and says why there is none.
func TestLocateByKustomization(t *testing.T) {
	other := strings.ReplaceAll(packText, "name: app", "name: other")
	bare := strings.Replace(packText, "  namespace: shop\n", "", 1)
	for name, tt := range map[string]struct {
		files  map[string]string
		change func(*ksv1.Kustomization, *sourcev1.GitRepository)
		path   string
		reason string
	}{
		"a file":           {map[string]string{"packs/a.yaml": other + "---\n" + packText, "old/a.yaml": packText, "packs/t.yaml": "{{ app Pack }}"}, nil, "packs/a.yaml", ""},
		"no namespace":     {map[string]string{"packs/a.yaml": bare}, nil, "packs/a.yaml", ""},
		"another folder":   {map[string]string{"packs/kustomization.yaml": "resources: [../base]\n", "base/a.yaml": packText}, nil, "base/a.yaml", ""},
		"a harmless patch": {map[string]string{"packs/kustomization.yaml": "patches: [{target: {kind: Deployment}, path: p.yaml}]\n", "packs/a.yaml": packText}, nil, "packs/a.yaml", ""},
		"two files":        {map[string]string{"packs/a.yaml": packText, "packs/b.yaml": packText}, nil, "", "more than one file (packs/a.yaml, packs/b.yaml)"},
		"generated":        {map[string]string{"packs/a.yaml": other}, nil, "", "generated"},
		"patched":          {map[string]string{"packs/kustomization.yaml": "patches: [{target: {kind: Pack}, patch: x}]\n", "packs/a.yaml": packText}, nil, "", "packs/kustomization.yaml may change"},
		"patched elsewhere": {map[string]string{"packs/a.yaml": packText}, func(k *ksv1.Kustomization, _ *sourcev1.GitRepository) {
			k.Spec.Patches = []kustomize.Patch{{Patch: "[]", Target: &kustomize.Selector{Kind: "Pack"}}}
		}, "", "spec.patches[0] of Kustomization flux/apps"},
		"a tag": {map[string]string{"packs/a.yaml": packText}, func(_ *ksv1.Kustomization, r *sourcev1.GitRepository) {
			r.Spec.Reference = &sourcev1.GitRepositoryRef{Tag: "v1"}
		}, "", "follow a branch"},
		"a registry": {map[string]string{"packs/a.yaml": packText}, func(k *ksv1.Kustomization, _ *sourcev1.GitRepository) {
			k.Spec.SourceRef.Kind = "OCIRepository"
		}, "", "OCIRepository, which cannot be written"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.repo.Commit("main", "first", tt.files)
			l := f.locator(f.followers(tt.change)...)
			at, ok, err := l.Locate(t.Context(), thePack())
			if tt.reason != "" {
				refused, is := errors.AsType[*writeback.RefusedError](err)
				if !is || !strings.Contains(refused.Reason, tt.reason) {
					t.Errorf("%v, want %q", err, tt.reason)
				}
				return
			}
			if err != nil || !ok || at.Path != tt.path || at.Branch != "main" || at.Follower.GetName() != "repo" {
				t.Fatalf("%+v %v %v", at, ok, err)
			}
			r := f.submit(f.writer(writeback.Options{}), writeback.Change{Target: at.Target, Path: at.Path, Edit: writeback.SetVars(at.Object, map[string]jsonRaw{"TAG": jsonRaw(`"1e3"`)})})
			if got := f.repo.Git("show", r.Commit+":"+tt.path); !strings.Contains(got, `TAG: "1e3" # x`) {
				t.Errorf("the file is\n%s", got)
			}
			if got := f.repo.Git("show", "--numstat", "--format=", r.Commit); got != "1\t1\t"+tt.path {
				t.Errorf("the commit changes %q", got)
			}
		})
	}
}

// TestLocateByPackSync takes what the PackSync says.
func TestLocateByPackSync(t *testing.T) {
	for state, want := range map[peykv1.PackState]string{
		peykv1.PackSynced: "packs/app.yaml", peykv1.PackDetached: "", peykv1.PackUnmapped: "", peykv1.PackConflict: "refused",
	} {
		f := newFixture(t)
		sync := &peykv1.PackSync{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "repo"}, Spec: peykv1.PackSyncSpec{
			URL: f.target.Remote.URL, SecretRef: &peykv1.LocalRef{Name: "git"}, Author: &peykv1.Author{Name: "Shop"},
		}}
		sync.Status.Packs = []peykv1.SyncedPack{{Name: "app", Namespace: "shop", Path: "packs/app.yaml", State: state, Message: "two files"}}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "git"}, Data: map[string][]byte{"token": []byte("t0ken")}}
		pack := thePack()
		pack.Labels = nil
		at, ok, err := f.locator(sync, secret).Locate(t.Context(), pack)
		switch {
		case want == "refused":
			if err == nil || !strings.Contains(err.Error(), "two files") {
				t.Errorf("%s: %v", state, err)
			}
		case err != nil || ok != (want != "") || at.Path != want:
			t.Errorf("%s: %+v %v %v", state, at, ok, err)
		case ok && (at.Remote.Credentials.Password != "t0ken" || at.Author.Name != "Shop"):
			t.Errorf("%s: %+v", state, at)
		}
	}
}
