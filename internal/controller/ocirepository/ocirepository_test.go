package ocirepository

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/testkit/bench"
)

func (b *rig) files(a *artifact.Artifact) map[string]string {
	b.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(a.Dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		rel, _ := filepath.Rel(a.Dir, name)
		found[rel] = string(content)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

func TestFollowsATag(t *testing.T) {
	b := newRig(t)
	annotations := map[string]string{
		"org.opencontainers.image.source": "https://git.test/app", "org.opencontainers.image.revision": "main@sha1:abc",
	}
	digest := b.push(image(t, map[string]string{"deploy/a.yaml": "a: 1\n"}, annotations), "latest")
	b.create("app", nil)
	obj, result := b.Pass("app")
	bench.Equal(t, bench.States(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})
	revision := "latest@" + digest
	bench.Equal(t, bench.Message(obj), "stored artifact for digest '"+revision+"'")
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	found, ok := b.Store.Get(refOf(obj))
	if !ok {
		t.Fatal("no artifact is stored")
	}
	file := "ocirepository/default/app/" + strings.TrimPrefix(digest, "sha256:") + ".tar.gz"
	bench.Equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: revision, Size: &found.Size, LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
		Path: file, URL: "http://peyk.test/" + file, Metadata: annotations,
	})
	bench.Equal(t, obj.Status.URL, obj.Status.Artifact.URL)
	bench.Equal(t, obj.Finalizers, []string{"finalizers.fluxcd.io"})
	bench.Equal(t, b.files(found), map[string]string{"deploy/a.yaml": "a: 1\n"})
	announced := "app Normal NewArtifact stored artifact with revision '" + revision + "' from 'oci://" + b.host +
		"/org/app', origin source 'https://git.test/app', origin revision 'main@sha1:abc'"
	if len(b.Events) == 0 || !strings.HasPrefix(b.Events[0], announced) {
		t.Errorf("the events are %q, want %q first", b.Events, announced)
	}
	told := len(b.Events)

	// The tag did not move: one request, no write, no event.
	b.asked.take()
	b.Pass("app")
	bench.Equal(t, b.asked.take(), []string{"HEAD /v2/org/app/manifests/latest"})
	bench.Equal(t, b.Writes, 1)
	bench.Equal(t, len(b.Events), told)

	// It moves.
	b.push(image(t, map[string]string{"deploy/a.yaml": "a: 2\n"}, nil), "latest")
	obj = b.MustBeReady("app")
	found, _ = b.Store.Get(refOf(obj))
	bench.Equal(t, b.files(found), map[string]string{"deploy/a.yaml": "a: 2\n"})
	bench.Equal(t, len(obj.Status.Artifact.Metadata), 0)
	bench.Equal(t, b.Writes, 2)
}

func TestReferences(t *testing.T) {
	b := newRig(t)
	digests := map[string]string{}
	for _, tag := range []string{"1.0.0", "1.2.0", "v1.10.0", "2.0.0-rc.1", "1.3.0-staging", "nightly", "1.11", "1.9.0_b1"} {
		digests[tag] = b.push(image(t, map[string]string{"tag": tag}, nil), tag)
	}
	for i, tt := range []struct {
		ref  sourcev1.OCIRepositoryRef
		want string
	}{
		{sourcev1.OCIRepositoryRef{Tag: "1.0.0"}, "1.0.0"},
		{sourcev1.OCIRepositoryRef{SemVer: "1.x", Tag: "nightly"}, "v1.10.0"},
		{sourcev1.OCIRepositoryRef{SemVer: ">=1.0.0-0", SemverFilter: ".*-staging"}, "1.3.0-staging"},
		{sourcev1.OCIRepositoryRef{SemVer: ">=1.0.0-0"}, "2.0.0-rc.1"},
		{sourcev1.OCIRepositoryRef{SemVer: "<1.1"}, "1.0.0"},
		{sourcev1.OCIRepositoryRef{Digest: digests["nightly"], SemVer: "1.x"}, ""},
	} {
		name := fmt.Sprint("app", i)
		b.create(name, func(s *sourcev1.OCIRepositorySpec) { s.Reference = &tt.ref })
		want := tt.want + "@" + digests[tt.want]
		if tt.want == "" {
			want = tt.ref.Digest
		}
		bench.Equal(t, b.MustBeReady(name).Status.Artifact.Revision, want)
	}
	// Nothing is asked for a digest that is stored.
	b.asked.take()
	b.MustBeReady("app5")
	bench.Equal(t, b.asked.take(), []string(nil))

	// An underscore is a plus in the tags of charts only.
	chart := layered(t, nil, static.NewLayer(bench.Tarball(t, "", map[string]string{"web/Chart.yaml": "name: web"}), chartLayer))
	digest := b.push(chart, "3.0.0_b2", "3.0.0_b1")
	b.create("chart", func(s *sourcev1.OCIRepositorySpec) {
		s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "3.x"}
		s.LayerSelector = &sourcev1.OCILayerSelector{MediaType: chartLayer, Operation: "copy"}
	})
	obj := b.MustBeReady("chart")
	bench.Equal(t, obj.Status.Artifact.Revision, "3.0.0_b2@"+digest)
}

const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

func TestLayers(t *testing.T) {
	b := newRig(t)
	archive := bench.Tarball(t, "", map[string]string{"web/Chart.yaml": "name: web"})
	digest := b.push(layered(t, nil,
		static.NewLayer(bench.Tarball(t, "", map[string]string{"first": "1"}), manifests), static.NewLayer(archive, chartLayer)), "latest")
	b.create("app", nil)
	obj := b.MustBeReady("app")
	found, _ := b.Store.Get(refOf(obj))
	bench.Equal(t, b.files(found), map[string]string{"first": "1"})

	b.update("app", func(s *sourcev1.OCIRepositorySpec) {
		s.LayerSelector = &sourcev1.OCILayerSelector{MediaType: chartLayer}
	})
	obj = b.MustBeReady("app")
	found, _ = b.Store.Get(refOf(obj))
	bench.Equal(t, b.files(found), map[string]string{"web/Chart.yaml": "name: web"})
	bench.Equal(t, obj.Status.ObservedLayerSelector, obj.Spec.LayerSelector)

	b.update("app", func(s *sourcev1.OCIRepositorySpec) { s.LayerSelector.Operation = "copy" })
	obj = b.MustBeReady("app")
	found, _ = b.Store.Get(refOf(obj))
	content, err := os.ReadFile(found.File)
	if err != nil || string(content) != string(archive) || found.Dir != "" {
		t.Errorf("%d bytes of %d, %v", len(content), len(archive), err)
	}
	if want := "ocirepository/default/app/sha256-" + strings.TrimPrefix(digest, "sha256:") + ".tgz"; found.Path != want {
		t.Errorf("%s is not %s", found.Path, want)
	}

	b.update("app", func(s *sourcev1.OCIRepositorySpec) { s.LayerSelector.MediaType = "application/x" })
	obj, _ = b.Pass("app")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True OCIArtifactLayerOperationFailed")
	mentions(t, bench.Message(obj), "application/x", chartLayer)
}

func mentions(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not said in: %s", part, text)
		}
	}
}

func TestIgnore(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{
		"a.yaml": "1", "logo.png": "2", "docs/b.md": "3", "docs/c.yaml": "4", "docs/.sourceignore": "c.yaml\n", ".sourceignore": "secret.txt\n",
		"x/secret.txt": "5", ".github/x.yml": "6",
	}, nil), "latest")
	b.create("app", nil)
	obj := b.MustBeReady("app")
	found, _ := b.Store.Get(refOf(obj))
	plain := map[string]string{"a.yaml": "1", "docs/b.md": "3", "docs/.sourceignore": "c.yaml\n", ".sourceignore": "secret.txt\n"}
	bench.Equal(t, b.files(found), plain)
	ignore := "*.md\n!logo.png\n"
	b.update("app", func(s *sourcev1.OCIRepositorySpec) { s.Ignore = &ignore })
	obj = b.MustBeReady("app")
	found, _ = b.Store.Get(refOf(obj))
	bench.Equal(t, b.files(found), map[string]string{
		"a.yaml": "1", "logo.png": "2", "docs/.sourceignore": "c.yaml\n", ".sourceignore": "secret.txt\n",
	})
	bench.Equal(t, *obj.Status.ObservedIgnore, ignore)
}

func TestWrongSpecs(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{"a": "1"}, nil), "latest", "1.0.0")
	stalled, retried := "Stalled", "Reconciling"
	secret := &meta.LocalObjectReference{Name: "nope"}
	for i, tt := range []struct {
		change        func(*sourcev1.OCIRepositorySpec)
		reason, state string
		parts         []string
	}{
		{func(s *sourcev1.OCIRepositorySpec) { s.URL += ":1.0.0" }, "URLInvalid", stalled, []string{"spec.url", "tag"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.URL = "oci://Ghcr.io/UPPER" }, "URLInvalid", stalled, []string{"spec.url", "ghcr.io/org/app"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.Provider = "aws" }, "InvalidProviderConfiguration", stalled, []string{"spec.provider", "aws", "spec.secretRef"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.SecretRef = secret }, "AuthenticationFailed", retried, []string{"spec.secretRef", "nope", "default"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.CertSecretRef = secret }, "AuthenticationFailed", retried, []string{"spec.certSecretRef"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.ProxySecretRef = secret }, "AuthenticationFailed", retried, []string{"spec.proxySecretRef"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.ServiceAccountName = "nope" }, "AuthenticationFailed", retried, []string{"spec.serviceAccountName", "ServiceAccount nope"}},
		{func(s *sourcev1.OCIRepositorySpec) {
			s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "x.y.z.q"}
		}, "ReadOperationFailed", stalled, []string{"spec.ref", "x.y.z.q"}},
		{func(s *sourcev1.OCIRepositorySpec) {
			s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.x", SemverFilter: "("}
		}, "ReadOperationFailed", stalled, []string{"spec.ref", "semverFilter"}},
		{func(s *sourcev1.OCIRepositorySpec) {
			s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "9.x"}
		}, "ReadOperationFailed", retried, []string{"spec.ref", "9.x"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{Tag: "nope"} }, "OCIArtifactPullFailed", retried, []string{"404", "spec.ref"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{Digest: "sha256:xyz"} }, "URLInvalid", stalled, []string{"spec.ref", "sha256:xyz"}},
		{func(s *sourcev1.OCIRepositorySpec) { s.URL = "oci://127.0.0.1:1/app" }, "OCIArtifactPullFailed", retried, []string{"127.0.0.1:1", "refused"}},
		{func(s *sourcev1.OCIRepositorySpec) {
			s.Verify = &sourcev1.OCIRepositoryVerification{
				Provider: "cosign", MatchOIDCIdentity: []sourcev1.OIDCIdentityMatch{{Issuer: ".*", Subject: ".*"}}, TrustedRootSecretRef: secret,
			}
		}, "VerificationError", stalled, []string{"spec.verify.secretRef", "keyless"}},
		{func(s *sourcev1.OCIRepositorySpec) {
			s.Verify = &sourcev1.OCIRepositoryVerification{Provider: "notation", SecretRef: secret}
		}, "VerificationError", stalled, []string{"spec.verify.provider", "notation"}},
	} {
		name := fmt.Sprint("app", i)
		b.create(name, tt.change)
		obj, result := b.Pass(name)
		got := bench.States(obj)
		if got["Ready"] != "False "+tt.reason || got[tt.state] == "" || obj.Status.Artifact != nil {
			t.Errorf("%d: %v", i, got)
		}
		if (result.RequeueAfter == 0) != (tt.state == stalled) {
			t.Errorf("%d: the next pass is in %s", i, result.RequeueAfter)
		}
		mentions(t, bench.Message(obj), tt.parts...)
	}
}

func TestLostDataIsPulledAgainWithoutAWrite(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	b.create("app", nil)
	before := b.MustBeReady("app")
	if err := os.RemoveAll(b.Data); err != nil {
		t.Fatal(err)
	}
	b.restart()
	after := b.MustBeReady("app")
	bench.Equal(t, after, before)
	bench.Equal(t, b.Writes, 1)
	if _, ok := b.Store.Get(refOf(after)); !ok {
		t.Error("the artifact is not there")
	}
}

// TestRegistryInTrouble keeps what is stored while the registry does not work, and asks it when it wants to be asked.
func TestRegistryInTrouble(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	b.create("app", nil)
	good := b.MustBeReady("app").Status.Artifact
	for _, tt := range []struct {
		status int
		header string
		least  time.Duration
	}{
		{http.StatusTooManyRequests, "120", 119 * time.Second},
		{http.StatusServiceUnavailable, time.Now().Add(5 * time.Minute).UTC().Format(http.TimeFormat), 4 * time.Minute},
		{http.StatusInternalServerError, "", 0},
		{http.StatusTooManyRequests, "10000000", time.Hour - time.Minute},
	} {
		b.restart()
		b.asked.instead(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", tt.header)
			http.Error(w, strings.Repeat("trouble ", 100), tt.status)
			return true
		})
		obj, result := b.Pass("app")
		bench.Equal(t, bench.States(obj)["FetchFailed"], "True OCIArtifactPullFailed")
		mentions(t, bench.Message(obj), fmt.Sprint(tt.status), b.host)
		if len(bench.Message(obj)) > 500 {
			t.Errorf("all that the registry said is in the message: %s", bench.Message(obj))
		}
		if result.RequeueAfter < tt.least || result.RequeueAfter > tt.least+2*time.Minute {
			t.Errorf("%d: the next pass is in %s", tt.status, result.RequeueAfter)
		}
		bench.Equal(t, obj.Status.Artifact, good)
		b.asked.instead(nil)
		obj = b.MustBeReady("app")
		bench.Equal(t, bench.States(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})
	}
}

func TestRegistryWithoutHead(t *testing.T) {
	b := newRig(t)
	digest := b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	b.asked.instead(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead {
			return false
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
		return true
	})
	b.create("app", nil)
	bench.Equal(t, b.MustBeReady("app").Status.Artifact.Revision, "latest@"+digest)
	b.asked.take()
	b.MustBeReady("app")
	bench.Equal(t, b.asked.take(), []string{"HEAD /v2/org/app/manifests/latest", "GET /v2/org/app/manifests/latest"})
}

func TestHangingRegistry(t *testing.T) {
	b := newRig(t)
	release := make(chan struct{})
	defer close(release)
	b.asked.instead(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	b.create("app", func(s *sourcev1.OCIRepositorySpec) { s.Timeout = &metav1.Duration{Duration: 100 * time.Millisecond} })
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True OCIArtifactPullFailed")
	mentions(t, bench.Message(obj), "in time")
}

func TestHostileArtifacts(t *testing.T) {
	b := newRig(t)
	b.limits.LayerBytes, b.limits.Unpack = 1<<20, artifact.UnpackLimits{Files: 10, FileBytes: 1 << 20, Bytes: 2 << 20}
	b.restart()
	many := map[string]string{}
	for i := range 11 {
		many[fmt.Sprint(i)] = "x"
	}
	for name, content := range map[string][]byte{
		"leads-out": bench.Tarball(t, "", map[string]string{"../../escaped": "x"}),
		"absolute":  bench.Tarball(t, "", map[string]string{"/etc/escaped": "x"}),
		"bomb":      bench.Tarball(t, "", map[string]string{"a": strings.Repeat("0", 3<<20)}),
		"many":      bench.Tarball(t, "", many),
		"garbage":   []byte("this is no archive"),
		"large":     []byte(strings.Repeat("x", 1<<20+1)),
	} {
		b.push(layered(t, nil, static.NewLayer(content, manifests)), name)
		b.create(name, func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{Tag: name} })
		obj, _ := b.Pass(name)
		if got := bench.States(obj)["FetchFailed"]; got != "True OCIArtifactLayerOperationFailed" || obj.Status.Artifact != nil {
			t.Errorf("%s: %s: %s", name, got, bench.Message(obj))
		}
	}
}

// TestLyingRegistry sends other bytes than it announced.
func TestLyingRegistry(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	other := bench.Tarball(t, "", map[string]string{"a.yaml": "2"})
	for name, reply := range map[string][]byte{"other": other, "longer": append(bench.Tarball(t, "", map[string]string{"a.yaml": "1"}), "and more"...), "empty": nil} {
		b.restart()
		b.asked.instead(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") || r.Method != http.MethodGet {
				return false
			}
			_, _ = w.Write(reply)
			return true
		})
		b.create(name, nil)
		obj, _ := b.Pass(name)
		if bench.States(obj)["Ready"] == "True Succeeded" || obj.Status.Artifact != nil {
			t.Errorf("%s: a layer that was changed is stored", name)
		}
	}
}

func TestDeletionAndSuspension(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	b.create("quiet", func(s *sourcev1.OCIRepositorySpec) { s.Suspend = true })
	obj, _ := b.Pass("quiet")
	bench.Equal(t, len(obj.Status.Conditions), 0)
	bench.Equal(t, b.asked.take(), []string(nil))

	b.create("app", nil)
	obj = b.MustBeReady("app")
	b.Delete(obj, refOf(obj))
}

func TestAuthentication(t *testing.T) {
	config := func(host, password string) map[string][]byte {
		return map[string][]byte{corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"username":"ada","password":%q}}}`, host, password)}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "login", Namespace: "default"}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "puller", Namespace: "default"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "login"}}}
	b := newRig(t, secret, account)
	b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	b.asked.instead(func(w http.ResponseWriter, r *http.Request) bool {
		username, password, _ := r.BasicAuth()
		if username == "ada" && password == "right-secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "no", http.StatusUnauthorized)
		return true
	})
	set := func(data map[string][]byte) {
		t.Helper()
		secret.Data = data
		if err := b.Client.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	b.create("app", nil)
	check := func(reason string, parts ...string) {
		t.Helper()
		obj, _ := b.Pass("app")
		bench.Equal(t, bench.States(obj)["FetchFailed"], "True "+reason)
		mentions(t, bench.Message(obj), parts...)
		for _, text := range append(b.Events, bench.Message(obj)) {
			if strings.Contains(text, "-secret") {
				t.Errorf("a secret shows: %s", text)
			}
		}
	}
	check("OCIArtifactPullFailed", "401", "spec.secretRef")
	b.update("app", func(s *sourcev1.OCIRepositorySpec) { s.SecretRef = &meta.LocalObjectReference{Name: "login"} })
	check("AuthenticationFailed", "Secret login", ".dockerconfigjson")
	set(map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":"wrong-secret"}`)})
	check("AuthenticationFailed", "Secret login", "auths")
	set(config(b.host, "wrong-secret"))
	check("OCIArtifactPullFailed", "401", "correct Secret login")
	set(config("other.test", "right-secret"))
	check("OCIArtifactPullFailed", "401", "correct Secret login")
	set(config("http://"+b.host+"/v2/", "right-secret"))
	b.MustBeReady("app")
	b.create("by-account", func(s *sourcev1.OCIRepositorySpec) { s.ServiceAccountName = "puller" })
	b.MustBeReady("by-account")
}

func TestWhatIsOutdatedIsSaid(t *testing.T) {
	b := newRig(t)
	b.push(image(t, map[string]string{"a.yaml": "1"}, nil), "latest")
	b.create("app", nil)
	bench.Equal(t, bench.States(b.MustBeReady("app")), bench.Good)
	digest := b.push(layered(t, nil), "latest")
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj)["ArtifactOutdated"], "True NewRevision")
	bench.Equal(t, apimeta.FindStatusCondition(obj.Status.Conditions, "ArtifactOutdated").Message,
		"new revision 'latest@"+digest+"' for '"+obj.Spec.URL+"'")

	// A new artifact is told of once.
	b.Events = nil
	b.push(image(t, map[string]string{"a.yaml": "2"}, nil), "latest")
	obj = b.MustBeReady("app")
	bench.Equal(t, bench.States(obj), bench.Good)
	b.push(image(t, map[string]string{"a.yaml": "3"}, nil), "latest")
	b.Events = nil
	obj = b.MustBeReady("app")
	bench.Equal(t, b.Events, []string{"app Normal NewArtifact stored artifact with revision '" + obj.Status.Artifact.Revision + "' from '" + obj.Spec.URL + "'"})
}
