package packsync_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git/gittest"
)

func jsonOf(v any) apiextensionsv1.JSON {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return apiextensionsv1.JSON{Raw: raw}
}

func (r *rig) newPack(name, tag string) {
	r.Helper()
	must(r.T, r.client.Create(r.Context(), &packv1.Pack{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: name},
		Spec:       packv1.PackSpec{Chart: packv1.PackChart{Name: "genpack"}, Vars: map[string]apiextensionsv1.JSON{"TAG": jsonOf(tag)}},
	}))
}

// TestFromGit follows files: new ones, changed ones, wrong ones, and such that are gone.
func TestFromGit(t *testing.T) {
	r := newRig(t, nil)
	r.push(map[string]string{"packs/web.pack.yaml": r.packFile("web", "v1"), "other.yaml": r.packFile("other", "v1")})
	r.connect(nil)
	r.has("web", "TAG", `"v1"`)
	r.state("web", peykv1.PackSynced)
	r.ready(metav1.ConditionTrue, "1/1")
	if _, err := r.pack("other"); !apierrors.IsNotFound(err) {
		t.Errorf("a file that is not named as a pack's was taken: %v", err)
	}
	r.push(map[string]string{"packs/web.pack.yaml": strings.Replace(r.packFile("web", "v2"), "    MODE: 'fast'\n", "", 1)})
	r.has("web", "TAG", `"v2"`)
	r.has("web", "MODE", "")
	r.soon("the status says so", func() error {
		status := r.sync().Status
		if status.Branch != "main" || status.Revision != "main@sha1:"+r.repo.Git("rev-parse", "main") || status.LastSyncTime == nil {
			return fmt.Errorf("the status is %+v", status)
		}
		return nil
	})
	r.soon("the log is shown", func() error {
		commits := r.sync().Status.Commits
		if len(commits) != 2 || commits[0].Title != "by hand" || commits[0].Author != "Ada" || commits[0].Files == nil || *commits[0].Files != 1 {
			return fmt.Errorf("it is %+v", commits)
		}
		return nil
	})

	r.push(map[string]string{
		"packs/web.pack.yaml":    strings.Replace(r.packFile("web", "v3"), "vars:", "varz:", 1),
		"packs/second.pack.yaml": r.packFile("db", "v1"), "packs/third.pack.yaml": r.packFile("db", "v2"),
		"packs/foreign.pack.yaml": strings.Replace(r.packFile("foreign", "v1"), "namespace: "+r.ns, "namespace: kube-system", 1),
		"packs/pasted.pack.yaml":  strings.Replace(r.packFile("pasted", "v1"), "  vars:", "\u00a0\u00a0vars:", 1),
		"packs/broken.pack.yaml":  "kind: Pack\napiVersion: k8s.kubit.ir/v1alpha1\nspec: [\n",
	})
	r.state("web", peykv1.PackInvalid, "varz")
	r.state("foreign", peykv1.PackInvalid, "its own namespace only")
	for path, text := range map[string]string{"packs/broken.pack.yaml": "YAML", "packs/pasted.pack.yaml": "no-break spaces"} {
		found := slices.IndexFunc(r.sync().Status.Packs, func(p peykv1.SyncedPack) bool { return p.Path == path })
		if found < 0 || !strings.Contains(r.sync().Status.Packs[found].Message, text) {
			t.Errorf("%s: %+v", path, r.sync().Status.Packs)
		}
	}
	if second := r.state("db", peykv1.PackConflict, "second file"); second.Path != "packs/third.pack.yaml" {
		t.Errorf("the second file is %s", second.Path)
	}
	r.has("db", "TAG", `"v1"`)
	r.has("web", "TAG", `"v2"`)
	r.ready(metav1.ConditionFalse, "in sync")
}

func TestPrune(t *testing.T) {
	r := newRig(t, nil)
	r.newPack("own", "v1")
	files := map[string]string{"own.pack.yaml": strings.Replace(r.packFile("own", "v1"), "    MODE: 'fast'\n", "", 1), "a.pack.yaml": r.packFile("a", "v1"), "b.pack.yaml": r.packFile("b", "v1")}
	r.push(files)
	r.connect(nil)
	for _, name := range []string{"own", "a", "b"} {
		r.state(name, peykv1.PackSynced)
	}
	r.push(map[string]string{"a.pack.yaml": ""})
	r.state("a", peykv1.PackUnmapped, "removed in Git")
	sync := r.sync()
	sync.Spec.Prune = true
	must(t, r.client.Update(t.Context(), sync))
	r.soon("a is deleted", func() error {
		if _, err := r.pack("a"); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
	r.push(map[string]string{"own.pack.yaml": ""})
	r.state("own", peykv1.PackUnmapped, "removed in Git")
	// A PackSync that goes leaves the Packs.
	must(t, r.client.Delete(t.Context(), r.sync()))
	r.push(map[string]string{"b.pack.yaml": r.packFile("b", "v2")})
	for _, name := range []string{"own", "b"} {
		if pack, err := r.pack(name); err != nil || pack.DeletionTimestamp != nil {
			t.Errorf("%s went with the PackSync: %v", name, err)
		}
	}
}

// TestFromCluster commits what people change in the cluster, in one line.
func TestFromCluster(t *testing.T) {
	r := newRig(t, nil)
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1")})
	r.connect(func(s *peykv1.PackSyncSpec) { s.Author = &peykv1.Author{Name: "Shop", Email: "shop@example.org"} })
	r.state("web", peykv1.PackSynced)
	r.edit("web", setVar("TAG", "16"))
	r.inGit("web.pack.yaml", `TAG: "16" # the tag`)
	if got := r.repo.Git("show", "--numstat", "--format=%an|%ae|%cn|%s", "main"); got != "Shop|shop@example.org|Peyk|Update pack "+r.ns+"/web\n\n1\t1\tweb.pack.yaml" {
		t.Errorf("the commit is %q", got)
	}
	if got := r.repo.Git("show", "-s", "--format=%(trailers:key=Delivery-Request,valueonly)", "main"); len(got) < 10 {
		t.Errorf("the commit's Delivery-Request is %q, so that pipelines take it for one of people", got)
	}
	r.edit("web", func(p *packv1.Pack) {
		setVar("NEW", "x")(p)
		annotate(peykv1.MessageAnnotation, "Add NEW", peykv1.AuthorAnnotation, "Grace <grace@example.org>")(p)
	})
	r.inGit("web.pack.yaml", "    MODE: 'fast'\n    NEW: x")
	if got := r.repo.Git("show", "-s", "--format=%an|%ae|%s", "main"); got != "Grace|grace@example.org|Add NEW" {
		t.Errorf("the commit is %q", got)
	}
	r.state("web", peykv1.PackSynced)
	r.soon("the request is taken away", func() error {
		pack, err := r.pack("web")
		if err == nil && len(pack.Annotations) != 1 {
			err = fmt.Errorf("the annotations are %v", pack.Annotations)
		}
		return err
	})
	head := r.repo.Git("rev-parse", "main")
	r.edit("web", setVar("DB_PASSWORD", "aB3dE6gH9jK2mN5pQ8"))
	r.state("web", peykv1.PackInvalid, "DB_PASSWORD")
	if strings.Contains(fmt.Sprint(r.sync().Status), "aB3dE6gH9jK2") {
		t.Error("the status shows a secret")
	}
	if got := r.repo.Git("rev-parse", "main"); got != head {
		t.Error("a secret in plain text was committed")
	}
}

// TestDetach leaves a Pack alone that was changed in the cluster, until it is connected again.
func TestDetach(t *testing.T) {
	r := newRig(t, nil)
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1")})
	r.connect(func(s *peykv1.PackSyncSpec) { s.ClusterChanges = peykv1.DetachPack })
	r.state("web", peykv1.PackSynced)
	r.edit("web", setVar("TAG", "mine"))
	r.state("web", peykv1.PackDetached)
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v2")})
	r.soon("the new commit is seen", func() error {
		if !strings.HasSuffix(r.sync().Status.Revision, r.repo.Git("rev-parse", "main")) {
			return fmt.Errorf("the revision is %s", r.sync().Status.Revision)
		}
		return nil
	})
	r.has("web", "TAG", `"mine"`)
	r.edit("web", annotate(peykv1.ResolveAnnotation, peykv1.ResolveCluster))
	r.inGit("web.pack.yaml", "TAG: mine # the tag")
	r.state("web", peykv1.PackSynced)
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v3")})
	r.has("web", "TAG", `"v3"`)
	r.edit("web", func(p *packv1.Pack) {
		setVar("TAG", "yours")(p)
		annotate(peykv1.CommitAnnotation, string(peykv1.CommitChanges))(p)
	})
	r.inGit("web.pack.yaml", "TAG: yours # the tag")
}

// TestConflict ends a conflict in each of the ways that there are.
func TestConflict(t *testing.T) {
	r := newRig(t, nil)
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1")})
	r.connect(nil)
	tag, mode := "v1", "fast"
	for _, tt := range []struct{ resolve, wantTag, wantMode string }{
		{peykv1.ResolveGit, "git", "fast"}, {peykv1.ResolveCluster, "v1", "slow"}, {peykv1.ResolveMerge, "git", "slow"},
	} {
		r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1")})
		r.has("web", "TAG", `"v1"`)
		r.has("web", "MODE", `"fast"`)
		r.state("web", peykv1.PackSynced)
		r.both(setVar("MODE", "slow"), r.packFile("web", "git"))
		r.state("web", peykv1.PackConflict, "different fields")
		r.Logf("resolving by %s", tt.resolve)
		r.edit("web", annotate(peykv1.ResolveAnnotation, tt.resolve))
		tag, mode = tt.wantTag, tt.wantMode
		r.has("web", "TAG", `"`+tag+`"`)
		r.has("web", "MODE", `"`+mode+`"`)
		r.inGit("web.pack.yaml", "TAG: "+tag+" # the tag\n    MODE: '"+mode+"'")
		r.state("web", peykv1.PackSynced)
	}
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1")})
	r.has("web", "TAG", `"v1"`)
	r.state("web", peykv1.PackSynced)
	r.both(setVar("TAG", "cluster"), r.packFile("web", "git"))
	r.state("web", peykv1.PackConflict, "spec.vars.TAG", "--prefer")
	r.edit("web", annotate(peykv1.ResolveAnnotation, peykv1.ResolveMerge))
	r.soon("a merge that cannot be is taken back", func() error {
		pack, err := r.pack("web")
		if err == nil && pack.Annotations[peykv1.ResolveAnnotation] != "" {
			err = fmt.Errorf("it is still asked for")
		}
		return err
	})
	r.state("web", peykv1.PackConflict, "spec.vars.TAG")
	r.edit("web", annotate(peykv1.ResolveAnnotation, peykv1.ResolveMergePreferCluster))
	r.inGit("web.pack.yaml", "TAG: cluster # the tag")
	r.state("web", peykv1.PackSynced)
	r.soon("old common specs are removed", func() error {
		var kept appsv1.ControllerRevisionList
		must(t, r.client.List(t.Context(), &kept, client.InNamespace(r.ns)))
		if len(kept.Items) > 3 {
			return fmt.Errorf("%d are kept", len(kept.Items))
		}
		return nil
	})
}

// both changes both sides at once, which the controller sees together.
func (r *rig) both(change func(*packv1.Pack), content string) {
	r.Helper()
	r.suspend(true)
	r.soon("it is suspended", func() error { return r.quiet() })
	r.push(map[string]string{"web.pack.yaml": content})
	r.edit("web", change)
	r.suspend(false)
}

// suspend writes the one field, whatever the controller writes at the same time.
func (r *rig) suspend(on bool) {
	r.Helper()
	sync := r.sync()
	before := sync.DeepCopy()
	sync.Spec.Suspend = on
	must(r.T, r.client.Patch(r.Context(), sync, client.MergeFrom(before)))
}

// quiet says that no pass that began earlier is still under way: the Git server is not asked any more.
func (r *rig) quiet() error {
	before := r.server.Lists.Load()
	var all corev1.ConfigMapList
	for range 20 {
		must(r.T, r.client.List(r.Context(), &all, client.InNamespace(r.ns)))
	}
	if after := r.server.Lists.Load(); after != before {
		return fmt.Errorf("the server is still asked")
	}
	return nil
}

// TestFirstTime connects Packs and files that were never the same.
func TestFirstTime(t *testing.T) {
	r := newRig(t, nil)
	r.newPack("web", "v0")
	r.newPack("lone", "v1")
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1"), "file.pack.yaml": r.packFile("file", "v1")})
	r.connect(func(s *peykv1.PackSyncSpec) { s.Create = false })
	r.state("web", peykv1.PackConflict, "never the same", "spec.vars.TAG")
	r.state("lone", peykv1.PackUnmapped, "connect lone")
	r.state("file", peykv1.PackUnmapped, "pack git connect file --path file.pack.yaml")
	r.edit("web", annotate(peykv1.ResolveAnnotation, peykv1.ResolveGit))
	r.has("web", "TAG", `"v1"`)
	sync := r.sync()
	sync.Spec.Mappings = []peykv1.PackMapping{{Pack: "lone", Path: "packs/" + r.ns + "/lone.pack.yaml"}, {Pack: "web", Disconnected: true}, {Pack: "file", Path: "file.pack.yaml"}}
	must(t, r.client.Update(t.Context(), sync))
	r.state("lone", peykv1.PackSynced)
	r.state("file", peykv1.PackSynced)
	r.has("file", "TAG", `"v1"`)
	path := "packs/" + r.ns + "/lone.pack.yaml"
	if got := r.repo.Git("log", "-1", "--format=%s", "main"); got != fmt.Sprintf("Initializing pack lone with path %q", path) {
		t.Errorf("the commit is %q", got)
	}
	want := "apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata:\n  name: lone\n  namespace: " + r.ns + "\nspec:\n  chart:\n    name: genpack\n  vars:\n    TAG: v1"
	if got := r.repo.Git("show", "main:"+path); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	r.state("web", peykv1.PackUnmapped, "disconnected")
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v9"), path: want + "2\n"})
	r.has("lone", "TAG", `"v12"`)
	r.has("web", "TAG", `"v1"`)
}

// TestAccess checks what is said about credentials, and that writing needs the right to.
func TestAccess(t *testing.T) {
	r := newRig(t, &gittest.Auth{Username: "oauth2", Password: "the-token"})
	r.push(map[string]string{"web.pack.yaml": r.packFile("web", "v1")})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "git"}, StringData: map[string]string{"token": "wrong-token"}}
	must(t, r.client.Create(t.Context(), secret))
	r.connect(func(s *peykv1.PackSyncSpec) { s.SecretRef = &peykv1.LocalRef{Name: "git"} })
	r.ready(metav1.ConditionFalse, "spec.secretRef")
	secret.StringData = map[string]string{"token": "the-token"}
	must(t, r.client.Update(t.Context(), secret))
	r.state("web", peykv1.PackSynced)
	r.repo.Git("config", "http.receivepack", "false")
	r.edit("web", setVar("TAG", "v2"))
	r.ready(metav1.ConditionFalse, "right to push")
	r.repo.Git("config", "http.receivepack", "true")
	r.inGit("web.pack.yaml", "TAG: v2")
	if strings.Contains(fmt.Sprint(r.sync().Status), "the-token") {
		t.Error("the status shows the token")
	}
}
