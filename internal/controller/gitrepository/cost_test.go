package gitrepository

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/testkit/bench"
)

// TestUnchangedCostsOneListing checks for every way to name a revision that a pass which finds nothing new asks the
// server once for its references, and for nothing else.
func TestUnchangedCostsOneListing(t *testing.T) {
	signer := gittest.NewSigner(t)
	b := newRig(t, nil, keysSecret(map[string][]byte{"ada.sshpub": signer.Public}))
	old := b.repo.Commit("main", "first", map[string]string{"a": "1"})
	b.repo.Git("tag", "v1.0.0", old)
	b.repo.Commit("main", "second", map[string]string{"a": "2"})
	signed := signer.Commit(b.repo, "main")
	signer.Tag(b.repo, "v1.1.0+a", "v1.1.0+a", signed)
	b.repo.Git("tag", "v1.1.0+b", old)
	for name, ref := range map[string]sourcev1.GitRepositoryRef{
		"branch": {Branch: "main"}, "tag": {Tag: "v1.0.0"}, "semver": {SemVer: "1.0.x"}, "semver-with-rivals": {SemVer: ">=1.1.0"},
		"name": {Name: "refs/tags/v1.1.0+a^{}"}, "commit": {Commit: old}, "commit-on-branch": {Branch: "main", Commit: old},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			b.create(name, func(obj *sourcev1.GitRepository) { obj.Spec.Reference = &ref })
			b.MustBeReady(name)
			lists, fetches := b.server.Lists.Load(), b.server.Fetches.Load()
			for range 3 {
				b.MustBeReady(name)
			}
			bench.Equal(t, b.server.Lists.Load()-lists, int32(3))
			bench.Equal(t, b.server.Fetches.Load()-fetches, int32(0))
		})
	}
	// Everybody reads the same repository as the same nobody: one mirror, and one with history for the old commits.
	if fetches := b.server.Fetches.Load(); fetches > 8 {
		t.Errorf("%d fetches for seven objects with one address", fetches)
	}
}

func TestSubmodulesAreStored(t *testing.T) {
	b := newRig(t, nil)
	lib := gittest.NewRepo(t, b.root, "lib")
	commit := lib.Commit("main", "lib", map[string]string{"lib.yaml": "lib"})
	files := map[string]string{"a": "a", ".gitmodules": "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n"}
	b.repo.Commit("main", "before", files)
	index := b.root + "/index"
	b.repo.Git("read-tree", "--index-output="+index, "refs/heads/main")
	b.repo.GitIndex(index, "update-index", "--add", "--cacheinfo", "160000,"+commit+",lib")
	b.repo.CommitTree("main", "with a submodule", b.repo.GitIndex(index, "write-tree"))
	b.create("app", nil)
	without := b.MustBeReady("app").Status.Artifact
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.RecurseSubmodules = true })
	obj := b.MustBeReady("app")
	if !obj.Status.ObservedRecurseSubmodules || obj.Status.Artifact.Digest == without.Digest || obj.Status.Artifact.Revision != without.Revision {
		t.Errorf("before %+v, after %+v", without, obj.Status)
	}
	lists := b.server.Lists.Load()
	b.MustBeReady("app")
	bench.Equal(t, b.server.Lists.Load()-lists, int32(1))

	lib.Git("update-ref", "-d", "refs/heads/main")
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SparseCheckout = []string{"lib"} })
	b.MustBeReady("app")
	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.SparseCheckout = []string{"gone"} })
	obj, _ = b.Pass("app")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True GitOperationFailed")
	bench.Equal(t, bench.States(obj)["ArtifactInStorage"], "True Succeeded")
}

func TestGitHubApp(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		if req.URL.Path != "/app/installations/99/access_tokens" || !strings.HasPrefix(req.Header.Get("Authorization"), "Bearer ey") {
			http.NotFound(w, req)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"token": "ghs_secret", "expires_at": "2099-01-01T00:00:00Z"}`))
	}))
	t.Cleanup(api.Close)
	secret := func(name, installation string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string][]byte{
			"githubAppID": []byte("42"), "githubAppInstallationID": []byte(installation), "githubAppBaseURL": []byte(api.URL),
			"githubAppPrivateKey": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		}}
	}
	none := secret("none", "")
	b := newRig(t, &gittest.Auth{Username: "x-access-token", Password: "ghs_secret"}, secret("app", "99"), secret("other", "98"), none)
	b.repo.Commit("main", "first", map[string]string{"a": "1"})
	use := func(provider, name string) func(*sourcev1.GitRepository) {
		return func(obj *sourcev1.GitRepository) {
			obj.Spec.Provider, obj.Spec.SecretRef = provider, &meta.LocalObjectReference{Name: name}
		}
	}
	b.create("good", use("github", "app"))
	for range 2 {
		b.MustBeReady("good")
	}
	bench.Equal(t, asked.Load(), int32(1))
	for name, tt := range map[string]struct {
		change       func(*sourcev1.GitRepository)
		reason, part string
	}{
		"not-installed":   {use("github", "other"), "AuthenticationFailed", "not installed"},
		"no-installation": {use("github", "none"), "InvalidProviderConfiguration", "githubAppInstallationOwner"},
		"generic":         {use("generic", "app"), "InvalidProviderConfiguration", "spec.provider"},
	} {
		b.create(name, tt.change)
		obj, _ := b.Pass(name)
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready")
		if ready.Reason != tt.reason || !strings.Contains(ready.Message, tt.part) || bench.States(obj)["FetchFailed"] != "True "+tt.reason {
			t.Errorf("%s: %+v", name, obj.Status.Conditions)
		}
	}
}
