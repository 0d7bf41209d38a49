package gitrepository

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/reconcile"
)

// bench is a Git server, a cluster, and a controller between them.
type bench struct {
	*testing.T
	root    string
	repo    *gittest.Repo
	server  *gittest.HTTPServer
	client  client.Client
	dataDir string
	store   *artifact.Store
	runner  *reconcile.Runner[*sourcev1.GitRepository]
	events  []string
	writes  int
}

func (b *bench) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	b.events = append(b.events, name+" "+eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, auth *gittest.Auth, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{T: t, root: t.TempDir(), dataDir: t.TempDir()}
	b.repo = gittest.NewRepo(t, b.root, "app")
	b.server = gittest.NewHTTPServer(t, b.root, auth)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&sourcev1.GitRepository{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	b.restart()
	return b
}

// restart makes the controller anew on the same data.
func (b *bench) restart() {
	b.Helper()
	store, err := artifact.New(filepath.Join(b.dataDir, "artifacts"), "http://peyk.test", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	mirrors, err := git.NewMirrors(filepath.Join(b.dataDir, "git"), git.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	b.store = store
	c := &Controller{artifacts: store, mirrors: mirrors, reader: b.client}
	b.runner = reconcile.NewRunner(c.kind(), reconcile.Options{Client: b.client, Events: b})
}

// create makes a GitRepository for the bench's repository.
func (b *bench) create(name string, change func(*sourcev1.GitRepository)) {
	b.Helper()
	obj := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Generation: 1},
		Spec: sourcev1.GitRepositorySpec{
			URL: b.server.URL + "/app.git", Interval: metav1.Duration{Duration: time.Minute},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}
	if change != nil {
		change(obj)
	}
	if err := b.client.Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) update(name string, change func(*sourcev1.GitRepository)) {
	b.Helper()
	obj := b.get(name)
	change(obj)
	obj.Generation++
	if err := b.client.Update(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) get(name string) *sourcev1.GitRepository {
	b.Helper()
	obj := &sourcev1.GitRepository{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: name}, obj); err != nil {
		b.Fatal(err)
	}
	return obj
}

func (b *bench) pass(name string) (*sourcev1.GitRepository, ctrl.Result) {
	b.Helper()
	result, err := b.runner.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: name}})
	if err != nil {
		b.Fatal(err)
	}
	return b.get(name), result
}

func (b *bench) mustBeReady(name string) *sourcev1.GitRepository {
	b.Helper()
	obj, _ := b.pass(name)
	if c := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready"); c == nil || c.Status != "True" {
		b.Fatalf("not ready: %+v", obj.Status.Conditions)
	}
	return obj
}

// states reduces conditions to type, status and reason.
func states(obj *sourcev1.GitRepository) map[string]string {
	states := map[string]string{}
	for _, c := range obj.Status.Conditions {
		states[c.Type] = string(c.Status) + " " + c.Reason
	}
	return states
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}

func TestFollowsABranch(t *testing.T) {
	b := newBench(t, nil)
	first := b.repo.Commit("main", "first commit\n\nwith a body", map[string]string{"deploy/a.yaml": "a: 1\n"})
	b.create("app", nil)

	obj, result := b.pass("app")
	equal(t, states(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})
	message := "stored artifact for revision 'main@sha1:" + first + "'"
	for _, c := range obj.Status.Conditions {
		equal(t, c.Message, message)
	}
	equal(t, obj.Finalizers, []string{"finalizers.fluxcd.io"})
	equal(t, obj.Status.ObservedGeneration, int64(1))
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	found, ok := b.store.Get(refOf(obj))
	if !ok {
		t.Fatal("no artifact is stored")
	}
	equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: "main@sha1:" + first, Size: &found.Size, LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
		Path: "gitrepository/default/app/" + first + ".tar.gz", URL: "http://peyk.test/gitrepository/default/app/" + first + ".tar.gz",
	})
	content, err := os.ReadFile(filepath.Join(found.Dir, "deploy", "a.yaml"))
	if err != nil || string(content) != "a: 1\n" {
		t.Errorf("%q %v", content, err)
	}
	equal(t, b.events, []string{"app Normal NewArtifact stored artifact for commit 'first commit'", "app Normal Succeeded " + message})

	// No commit: no fetch, no write, no event.
	b.pass("app")
	equal(t, b.writes, 1)
	equal(t, len(b.events), 2)
	equal(t, b.server.Fetches.Load(), int32(1))

	second := b.repo.Commit("main", "second", map[string]string{"deploy/a.yaml": "a: 2\n"})
	obj = b.mustBeReady("app")
	equal(t, obj.Status.Artifact.Revision, "main@sha1:"+second)
	equal(t, b.writes, 2)
}

func TestLostDataIsFetchedAgainWithoutAWrite(t *testing.T) {
	b := newBench(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("app", nil)
	before := b.mustBeReady("app")
	if err := os.RemoveAll(b.dataDir); err != nil {
		t.Fatal(err)
	}
	b.restart()
	told := 0
	b.store.Subscribe(func(artifact.Ref) { told++ })
	events := len(b.events)
	after := b.mustBeReady("app")
	equal(t, after, before)
	equal(t, b.writes, 1)
	equal(t, len(b.events), events)
	equal(t, told, 1)
	if _, ok := b.store.Get(refOf(after)); !ok {
		t.Error("the artifact is not there")
	}
}

func TestContentChangesWithoutACommit(t *testing.T) {
	b := newBench(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1", "b.md": "2", "dir/c.yaml": "3"})
	b.create("app", nil)
	whole := b.mustBeReady("app").Status.Artifact
	ignore := "*.md\n"
	b.update("app", func(obj *sourcev1.GitRepository) { obj.Spec.Ignore = &ignore })
	obj := b.mustBeReady("app")
	if obj.Status.Artifact.Digest == whole.Digest || obj.Status.Artifact.Revision != whole.Revision {
		t.Errorf("before %+v, after %+v", whole, obj.Status.Artifact)
	}
	equal(t, *obj.Status.ObservedIgnore, ignore)
	b.update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SparseCheckout = []string{"dir"} })
	obj = b.mustBeReady("app")
	found, _ := b.store.Get(refOf(obj))
	entries, err := os.ReadDir(found.Dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "dir" {
		t.Errorf("%v %v", entries, err)
	}
	b.update("app", func(obj *sourcev1.GitRepository) { obj.Spec.Ignore, obj.Spec.SparseCheckout = nil, nil })
	equal(t, b.mustBeReady("app").Status.Artifact.Digest, whole.Digest)
}

func TestInclude(t *testing.T) {
	b := newBench(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.repo.Commit("lib", "lib", map[string]string{"charts/x/values.yaml": "x", "charts/x/logo.md": "y", "other": "z"})
	b.create("app", func(obj *sourcev1.GitRepository) {
		ignore := "*.md"
		obj.Spec.Ignore = &ignore
		obj.Spec.Include = []sourcev1.GitRepositoryInclude{{
			GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}, FromPath: "./charts", ToPath: "vendor/charts",
		}, {GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}}}
	})
	obj, _ := b.pass("app")
	equal(t, states(obj), map[string]string{
		"Ready": "False NotFound", "Reconciling": "True ProgressingWithRetry", "IncludeUnavailable": "True NotFound"})
	b.create("lib", func(obj *sourcev1.GitRepository) { obj.Spec.Reference.Branch = "lib" })
	obj, _ = b.pass("app")
	equal(t, states(obj)["IncludeUnavailable"], "True NoArtifact")
	b.mustBeReady("lib")
	obj = b.mustBeReady("app")
	found, _ := b.store.Get(refOf(obj))
	for name, want := range map[string]string{
		"a.yaml": "1", "vendor/charts/x/values.yaml": "x", "lib/charts/x/values.yaml": "x", "lib/other": "z", "vendor/charts/x/logo.md": "",
	} {
		if content, _ := os.ReadFile(filepath.Join(found.Dir, name)); string(content) != want {
			t.Errorf("%s holds %q", name, content)
		}
	}
	equal(t, len(obj.Status.IncludedArtifacts), 2)

	before := obj.Status.Artifact.Digest
	b.repo.Commit("lib", "lib", map[string]string{"charts/x/values.yaml": "new"})
	was, is := b.get("lib"), b.mustBeReady("lib")
	if !newArtifact().Update(updateEvent(was, is)) || newArtifact().Update(updateEvent(is, is)) {
		t.Error("includers are not woken by a new artifact, or by none")
	}
	c := &Controller{reader: b.client}
	equal(t, c.includers(t.Context(), is), []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: "default", Name: "app"}}})
	if after := b.mustBeReady("app").Status.Artifact.Digest; after == before {
		t.Error("a change of what is included does not change the artifact")
	}
}

func TestAuthentication(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "git", Namespace: "default"}}
	b := newBench(t, &gittest.Auth{Username: "ada", Password: "right-secret"}, secret)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("app", func(obj *sourcev1.GitRepository) { obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "gti"} })
	check := func(parts ...string) {
		t.Helper()
		obj, _ := b.pass("app")
		got := states(obj)
		delete(got, "ArtifactInStorage")
		equal(t, got, map[string]string{
			"Ready": "False AuthenticationFailed", "Reconciling": "True ProgressingWithRetry", "FetchFailed": "True AuthenticationFailed"})
		message := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready").Message
		for _, part := range parts {
			if !strings.Contains(message, part) {
				t.Errorf("the message does not say %q: %s", part, message)
			}
		}
		for _, text := range append(b.events, message) {
			if strings.Contains(text, "-secret") {
				t.Errorf("a secret shows: %s", text)
			}
		}
	}
	set := func(data map[string][]byte) {
		t.Helper()
		secret.Data = data
		if err := b.client.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	check("spec.secretRef", "gti", "default")
	b.update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SecretRef.Name = "git" })
	check("Secret git", "username and password")
	set(map[string][]byte{"username": []byte("ada")})
	check("Secret git", "password is missing")
	set(map[string][]byte{"username": []byte("ada"), "password": []byte("wrong-secret")})
	check("correct Secret git", "401", b.server.URL)
	set(map[string][]byte{"username": []byte("ada"), "password": []byte("right-secret")})
	obj := b.mustBeReady("app")
	equal(t, states(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})

	// What is stored stays while the source cannot be read.
	set(map[string][]byte{"username": []byte("ada"), "password": []byte("wrong-secret")})
	obj, _ = b.pass("app")
	equal(t, states(obj)["ArtifactInStorage"], "True Succeeded")
	if _, ok := b.store.Get(refOf(obj)); !ok || obj.Status.Artifact == nil {
		t.Error("the artifact is gone")
	}
	b.update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SecretRef = nil })
	check("spec.secretRef")
}

func TestWrongSpecs(t *testing.T) {
	b := newBench(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	stalled, retried := "Stalled", "Reconciling"
	for i, tt := range []struct {
		change        func(*sourcev1.GitRepositorySpec)
		reason, state string
		parts         []string
	}{
		{func(s *sourcev1.GitRepositorySpec) { s.Provider = "github" }, "InvalidSpec", stalled, []string{"spec.provider", "github"}},
		{func(s *sourcev1.GitRepositorySpec) { s.RecurseSubmodules = true }, "InvalidSpec", stalled, []string{"spec.recurseSubmodules"}},
		{func(s *sourcev1.GitRepositorySpec) { s.Verification = &sourcev1.GitRepositoryVerification{} }, "InvalidSpec", stalled, []string{"spec.verify"}},
		{func(s *sourcev1.GitRepositorySpec) { s.SparseCheckout = []string{"a", "../x"} }, "InvalidSpec", stalled, []string{"spec.sparseCheckout[1]"}},
		{func(s *sourcev1.GitRepositorySpec) {
			s.Include = []sourcev1.GitRepositoryInclude{{ToPath: "a/../../b"}}
		}, "InvalidSpec", stalled, []string{"spec.include[0].toPath"}},
		{func(s *sourcev1.GitRepositorySpec) { s.URL = "ftp://x/y" }, "URLInvalid", stalled, []string{"spec.url", "https://"}},
		{func(s *sourcev1.GitRepositorySpec) { s.Reference.SemVer = "x.y.z.q" }, "GitOperationFailed", stalled, []string{"spec.ref", "x.y.z.q"}},
		{func(s *sourcev1.GitRepositorySpec) { s.Reference.Branch = "mian" }, "GitOperationFailed", retried, []string{"spec.ref", "mian", "main"}},
		{func(s *sourcev1.GitRepositorySpec) { s.URL = strings.Replace(s.URL, "app", "gone", 1) }, "GitOperationFailed", retried, []string{"spec.url", "gone.git", "no repository"}},
		{func(s *sourcev1.GitRepositorySpec) { s.SparseCheckout = []string{"missing"} }, "GitOperationFailed", retried, []string{`"missing"`}},
		{func(s *sourcev1.GitRepositorySpec) {
			s.URL, s.ProxySecretRef = "ssh://git@h/x", &meta.LocalObjectReference{Name: "p"}
		}, "InvalidSpec", stalled, []string{"spec.proxySecretRef"}},
		{func(s *sourcev1.GitRepositorySpec) { s.URL = "ssh://git@localhost/x" }, "AuthenticationFailed", retried, []string{"identity", "spec.secretRef"}},
	} {
		name := fmt.Sprint("app", i)
		b.create(name, func(obj *sourcev1.GitRepository) { tt.change(&obj.Spec) })
		obj, result := b.pass(name)
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready")
		if ready == nil || ready.Status != "False" || ready.Reason != tt.reason || states(obj)[tt.state] == "" {
			t.Errorf("%d: %v", i, states(obj))
			continue
		}
		if (result.RequeueAfter == 0) != (tt.state == stalled) {
			t.Errorf("%d: the next pass is in %s", i, result.RequeueAfter)
		}
		for _, part := range tt.parts {
			if !strings.Contains(ready.Message, part) {
				t.Errorf("%d: the message does not say %q: %s", i, part, ready.Message)
			}
		}
	}
}

func TestEmptyRepository(t *testing.T) {
	b := newBench(t, nil)
	b.create("app", nil)
	obj, _ := b.pass("app")
	equal(t, states(obj)["FetchFailed"], "True EmptyGitRepository")
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.mustBeReady("app")
}

func TestDeletionForgetsTheArtifact(t *testing.T) {
	b := newBench(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("app", nil)
	obj := b.mustBeReady("app")
	if err := b.client.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if _, err := b.runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)}); err != nil {
		t.Fatal(err)
	}
	if err := b.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the object is still there: %v", err)
	}
	if _, ok := b.store.Get(refOf(obj)); ok {
		t.Error("the artifact is still there")
	}
}

func TestSuspendedIsLeftAlone(t *testing.T) {
	b := newBench(t, nil)
	b.create("app", func(obj *sourcev1.GitRepository) { obj.Spec.Suspend = true })
	obj, _ := b.pass("app")
	equal(t, len(obj.Status.Conditions), 0)
	equal(t, b.server.Lists.Load(), int32(0))
}

func updateEvent(was, is client.Object) event.UpdateEvent {
	return event.UpdateEvent{ObjectOld: was, ObjectNew: is}
}
