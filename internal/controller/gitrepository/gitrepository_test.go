package gitrepository

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/testkit/bench"
)

func TestFollowsABranch(t *testing.T) {
	b := newRig(t, nil)
	first := b.repo.Commit("main", "first commit\n\nwith a body", map[string]string{"deploy/a.yaml": "a: 1\n"})
	b.create("app", nil)

	obj, result := b.Pass("app")
	bench.Equal(t, bench.States(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})
	message := "stored artifact for revision 'main@sha1:" + first + "'"
	for _, c := range obj.Status.Conditions {
		bench.Equal(t, c.Message, message)
	}
	bench.Equal(t, obj.Finalizers, []string{"finalizers.fluxcd.io"})
	bench.Equal(t, obj.Status.ObservedGeneration, int64(1))
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	found, ok := b.Store.Get(refOf(obj))
	if !ok {
		t.Fatal("no artifact is stored")
	}
	bench.Equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: "main@sha1:" + first, Size: &found.Size, LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
		Path: "gitrepository/default/app/" + first + ".tar.gz", URL: "http://peyk.test/gitrepository/default/app/" + first + ".tar.gz",
	})
	content, err := os.ReadFile(filepath.Join(found.Dir, "deploy", "a.yaml"))
	if err != nil || string(content) != "a: 1\n" {
		t.Errorf("%q %v", content, err)
	}
	bench.Equal(t, b.Events, []string{"app Normal NewArtifact stored artifact for commit 'first commit'"})

	// No commit: no fetch, no write, no event.
	b.Pass("app")
	bench.Equal(t, b.Writes, 1)
	bench.Equal(t, len(b.Events), 1)
	bench.Equal(t, b.server.Fetches.Load(), int32(1))

	second := b.repo.Commit("main", "second", map[string]string{"deploy/a.yaml": "a: 2\n"})
	obj = b.MustBeReady("app")
	bench.Equal(t, obj.Status.Artifact.Revision, "main@sha1:"+second)
	bench.Equal(t, b.Writes, 2)
}

func TestLostDataIsFetchedAgainWithoutAWrite(t *testing.T) {
	b := newRig(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("app", nil)
	before := b.MustBeReady("app")
	if err := os.RemoveAll(b.Data); err != nil {
		t.Fatal(err)
	}
	b.restart()
	told := 0
	b.Store.Subscribe(func(artifact.Ref) { told++ })
	events := len(b.Events)
	after := b.MustBeReady("app")
	bench.Equal(t, after, before)
	bench.Equal(t, b.Writes, 1)
	bench.Equal(t, len(b.Events), events)
	bench.Equal(t, told, 1)
	if _, ok := b.Store.Get(refOf(after)); !ok {
		t.Error("the artifact is not there")
	}
}

func TestContentChangesWithoutACommit(t *testing.T) {
	b := newRig(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1", "b.md": "2", "dir/c.yaml": "3"})
	b.create("app", nil)
	whole := b.MustBeReady("app").Status.Artifact
	ignore := "*.md\n"
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.Ignore = &ignore })
	obj := b.MustBeReady("app")
	if obj.Status.Artifact.Digest == whole.Digest || obj.Status.Artifact.Revision != whole.Revision {
		t.Errorf("before %+v, after %+v", whole, obj.Status.Artifact)
	}
	bench.Equal(t, *obj.Status.ObservedIgnore, ignore)
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SparseCheckout = []string{"dir"} })
	obj = b.MustBeReady("app")
	found, _ := b.Store.Get(refOf(obj))
	entries, err := os.ReadDir(found.Dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "dir" {
		t.Errorf("%v %v", entries, err)
	}
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.Ignore, obj.Spec.SparseCheckout = nil, nil })
	bench.Equal(t, b.MustBeReady("app").Status.Artifact.Digest, whole.Digest)
}

func TestInclude(t *testing.T) {
	b := newRig(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.repo.Commit("lib", "lib", map[string]string{"charts/x/values.yaml": "x", "charts/x/logo.md": "y", "other": "z"})
	b.create("app", func(obj *sourcev1.GitRepository) {
		ignore := "*.md"
		obj.Spec.Ignore = &ignore
		obj.Spec.Include = []sourcev1.GitRepositoryInclude{{
			GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}, FromPath: "./charts", ToPath: "vendor/charts",
		}, {GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}}}
	})
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj), map[string]string{
		"Ready": "False NotFound", "Reconciling": "True ProgressingWithRetry", "IncludeUnavailable": "True NotFound"})
	b.create("lib", func(obj *sourcev1.GitRepository) { obj.Spec.Reference.Branch = "lib" })
	obj, _ = b.Pass("app")
	bench.Equal(t, bench.States(obj)["IncludeUnavailable"], "True NoArtifact")
	b.MustBeReady("lib")
	obj = b.MustBeReady("app")
	found, _ := b.Store.Get(refOf(obj))
	for name, want := range map[string]string{
		"a.yaml": "1", "vendor/charts/x/values.yaml": "x", "lib/charts/x/values.yaml": "x", "lib/other": "z", "vendor/charts/x/logo.md": "",
	} {
		if content, _ := os.ReadFile(filepath.Join(found.Dir, name)); string(content) != want {
			t.Errorf("%s holds %q", name, content)
		}
	}
	bench.Equal(t, len(obj.Status.IncludedArtifacts), 2)

	before := obj.Status.Artifact.Digest
	b.repo.Commit("lib", "lib", map[string]string{"charts/x/values.yaml": "new"})
	was, is := b.Get("lib"), b.MustBeReady("lib")
	if !newArtifact().Update(updateEvent(was, is)) || newArtifact().Update(updateEvent(is, is)) {
		t.Error("includers are not woken by a new artifact, or by none")
	}
	c := &Controller{reader: b.Client}
	bench.Equal(t, c.includers(t.Context(), is), []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: "default", Name: "app"}}})
	if after := b.MustBeReady("app").Status.Artifact.Digest; after == before {
		t.Error("a change of what is included does not change the artifact")
	}
}

func TestAuthentication(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "git", Namespace: "default"}}
	b := newRig(t, &gittest.Auth{Username: "ada", Password: "right-secret"}, secret)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("app", func(obj *sourcev1.GitRepository) { obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "gti"} })
	check := func(parts ...string) {
		t.Helper()
		obj, _ := b.Pass("app")
		got := bench.States(obj)
		delete(got, "ArtifactInStorage")
		bench.Equal(t, got, map[string]string{
			"Ready": "False AuthenticationFailed", "Reconciling": "True ProgressingWithRetry", "FetchFailed": "True AuthenticationFailed"})
		message := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready").Message
		for _, part := range parts {
			if !strings.Contains(message, part) {
				t.Errorf("the message does not say %q: %s", part, message)
			}
		}
		for _, text := range append(b.Events, message) {
			if strings.Contains(text, "-secret") {
				t.Errorf("a secret shows: %s", text)
			}
		}
	}
	set := func(data map[string][]byte) {
		t.Helper()
		secret.Data = data
		if err := b.Client.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	check("spec.secretRef", "gti", "default")
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SecretRef.Name = "git" })
	check("Secret git", "username and password")
	set(map[string][]byte{"username": []byte("ada")})
	check("Secret git", "password is missing")
	set(map[string][]byte{"username": []byte("ada"), "password": []byte("wrong-secret")})
	check("correct Secret git", "401", b.server.URL)
	set(map[string][]byte{"username": []byte("ada"), "password": []byte("right-secret")})
	obj := b.MustBeReady("app")
	bench.Equal(t, bench.States(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})

	// What is stored stays while the source cannot be read.
	set(map[string][]byte{"username": []byte("ada"), "password": []byte("wrong-secret")})
	obj, _ = b.Pass("app")
	bench.Equal(t, bench.States(obj)["ArtifactInStorage"], "True Succeeded")
	if _, ok := b.Store.Get(refOf(obj)); !ok || obj.Status.Artifact == nil {
		t.Error("the artifact is gone")
	}
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SecretRef = nil })
	check("spec.secretRef")
}

func TestWrongSpecs(t *testing.T) {
	b := newRig(t, nil)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	stalled, retried := "Stalled", "Reconciling"
	for i, tt := range []struct {
		change        func(*sourcev1.GitRepositorySpec)
		reason, state string
		parts         []string
	}{
		{func(s *sourcev1.GitRepositorySpec) { s.Provider = "github" }, "InvalidProviderConfiguration", stalled, []string{"spec.provider", "spec.secretRef"}},
		{func(s *sourcev1.GitRepositorySpec) { s.Provider = "azure" }, "InvalidProviderConfiguration", stalled, []string{"spec.provider", "azure"}},
		{func(s *sourcev1.GitRepositorySpec) { s.ServiceAccountName = "x" }, "InvalidSpec", stalled, []string{"spec.serviceAccountName", "secretRef"}},
		{func(s *sourcev1.GitRepositorySpec) {
			s.URL, s.Timeout = silent.URL+"/app.git", &metav1.Duration{Duration: 100 * time.Millisecond}
		}, "GitOperationFailed", retried, []string{"in time"}},
		{func(s *sourcev1.GitRepositorySpec) {
			s.Verification = &sourcev1.GitRepositoryVerification{SecretRef: meta.LocalObjectReference{Name: "keys"}}
		}, "VerificationError", retried, []string{"spec.verify.secretRef", "keys"}},
		{func(s *sourcev1.GitRepositorySpec) {
			s.Verification = &sourcev1.GitRepositoryVerification{Mode: "Tag", SecretRef: meta.LocalObjectReference{Name: "keys"}}
		}, "InvalidVerificationMode", stalled, []string{"spec.verify.mode", "spec.ref.tag"}},
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
		}, "AuthenticationFailed", retried, []string{"spec.proxySecretRef", "p"}},
		{func(s *sourcev1.GitRepositorySpec) { s.URL = "ssh://git@localhost/x" }, "AuthenticationFailed", retried, []string{"identity", "spec.secretRef"}},
	} {
		name := fmt.Sprint("app", i)
		b.create(name, func(obj *sourcev1.GitRepository) { tt.change(&obj.Spec) })
		obj, result := b.Pass(name)
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready")
		if ready == nil || ready.Status != "False" || ready.Reason != tt.reason || bench.States(obj)[tt.state] == "" {
			t.Errorf("%d: %v", i, bench.States(obj))
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
	b := newRig(t, nil)
	b.create("app", nil)
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True EmptyGitRepository")
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.MustBeReady("app")
}

func TestDeletionForgetsTheArtifact(t *testing.T) {
	b := newRig(t, nil)
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("app", nil)
	obj := b.MustBeReady("app")
	b.Delete(obj, refOf(obj))
}

func TestSuspendedIsLeftAlone(t *testing.T) {
	b := newRig(t, nil)
	b.create("app", func(obj *sourcev1.GitRepository) { obj.Spec.Suspend = true })
	obj, _ := b.Pass("app")
	bench.Equal(t, len(obj.Status.Conditions), 0)
	bench.Equal(t, b.server.Lists.Load(), int32(0))
}

func TestWhatIsOutdatedIsSaid(t *testing.T) {
	b := newRig(t, nil)
	lib := gittest.NewRepo(t, b.root, "lib")
	lib.Commit("main", "first", map[string]string{"lib.yaml": "1"})
	b.create("lib", func(obj *sourcev1.GitRepository) { obj.Spec.URL = b.server.URL + "/lib.git" })
	b.MustBeReady("lib")
	b.repo.Commit("main", "first", map[string]string{"deploy/a.yaml": "1"})
	b.create("app", func(obj *sourcev1.GitRepository) {
		obj.Spec.SparseCheckout = []string{"deploy"}
		obj.Spec.Include = []sourcev1.GitRepositoryInclude{{GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}}}
	})
	bench.Equal(t, bench.States(b.MustBeReady("app")), bench.Good)

	second := b.repo.Commit("main", "second", map[string]string{"other/a.yaml": "1"})
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj), map[string]string{
		"Ready": "False GitOperationFailed", "Reconciling": "True ProgressingWithRetry", "FetchFailed": "True GitOperationFailed",
		"ArtifactInStorage": "True Succeeded", "ArtifactOutdated": "True NewRevision",
	})
	outdated := apimeta.FindStatusCondition(obj.Status.Conditions, "ArtifactOutdated")
	bench.Equal(t, outdated.Message, "new upstream revision 'main@sha1:"+second+"'")
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SparseCheckout = []string{"other"} })
	bench.Equal(t, bench.States(b.MustBeReady("app")), bench.Good)

	lib.Commit("main", "second", map[string]string{"lib.yaml": "2"})
	b.MustBeReady("lib")
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.Include[0].FromPath = "missing" })
	obj, _ = b.Pass("app")
	bench.Equal(t, bench.States(obj), map[string]string{
		"Ready": "False CopyFailure", "Reconciling": "True ProgressingWithRetry", "StorageOperationFailed": "True CopyFailure",
		"ArtifactInStorage": "True Succeeded", "ArtifactOutdated": "True IncludeChange",
	})
}
