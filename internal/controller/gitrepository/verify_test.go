package gitrepository

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/testkit/bench"
)

func keysSecret(keys map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys", Namespace: "default"}, Data: keys}
}

func verify(mode sourcev1.GitVerificationMode) func(*sourcev1.GitRepository) {
	return func(obj *sourcev1.GitRepository) {
		obj.UID = "1234"
		obj.Spec.Verification = &sourcev1.GitRepositoryVerification{Mode: mode, SecretRef: meta.LocalObjectReference{Name: "keys"}}
	}
}

func (b *rig) setKeys(keys map[string][]byte) {
	b.Helper()
	secret := &corev1.Secret{}
	if err := b.Client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: "keys"}, secret); err != nil {
		b.Fatal(err)
	}
	secret.Data = keys
	if err := b.Client.Update(b.Context(), secret); err != nil {
		b.Fatal(err)
	}
}

func TestOnlySignedCommitsAreStored(t *testing.T) {
	ada, eve := gittest.NewSigner(t), gittest.NewSigner(t)
	b := newRig(t, nil, keysSecret(map[string][]byte{"ada.sshpub": ada.Public}))
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	first := ada.Commit(b.repo, "main")
	b.create("app", verify("head"))

	obj := b.MustBeReady("app")
	bench.Equal(t, bench.States(obj), map[string]string{
		"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded", "SourceVerified": "True Succeeded",
	})
	message := apimeta.FindStatusCondition(obj.Status.Conditions, "SourceVerified").Message
	bench.Equal(t, message, "verified signature of\n\t- commit '"+first+"' with key '"+ada.Fingerprint+"'")
	bench.Equal(t, *obj.Status.SourceVerificationMode, sourcev1.ModeGitHEAD)

	for name, make := range map[string]func() string{
		"unsigned": func() string { return b.repo.Commit("main", "unsigned", map[string]string{"a.yaml": "2"}) },
		"of a stranger": func() string {
			b.repo.Commit("main", "evil", map[string]string{"a.yaml": "3"})
			return eve.Commit(b.repo, "main")
		},
	} {
		bad := make()
		obj, _ = b.Pass("app")
		bench.Equal(t, bench.States(obj)["SourceVerified"], "False InvalidCommitSignature")
		bench.Equal(t, bench.States(obj)["Ready"], "False InvalidCommitSignature")
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready").Message
		if !strings.Contains(ready, bad) || !strings.Contains(ready, "Secret keys") {
			t.Errorf("%s: %s", name, ready)
		}
		found, ok := b.Store.Get(refOf(obj))
		if !ok || found.Revision != "main@sha1:"+first || obj.Status.Artifact.Revision != found.Revision {
			t.Errorf("%s: something else than the last good commit is stored: %+v", name, found)
		}
	}
	b.setKeys(map[string][]byte{"eve.sshpub": eve.Public, "ada.sshpub": ada.Public, "team.asc": []byte("no key")})
	b.repo.Commit("main", "good again", map[string]string{"a.yaml": "4"})
	eve.Commit(b.repo, "main")
	b.MustBeReady("app")
}

// TestVerificationIsRememberedUntilKeysChange checks that an unchanged source is not checked again, and that one whose
// keys are withdrawn is.
func TestVerificationIsRememberedUntilKeysChange(t *testing.T) {
	ada, eve := gittest.NewSigner(t), gittest.NewSigner(t)
	b := newRig(t, nil, keysSecret(map[string][]byte{"ada.sshpub": ada.Public}))
	b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	ada.Commit(b.repo, "main")
	b.create("app", verify("HEAD"))
	b.MustBeReady("app")
	fetches, writes := b.server.Fetches.Load(), b.Writes
	b.MustBeReady("app")
	bench.Equal(t, b.server.Fetches.Load(), fetches)
	bench.Equal(t, b.Writes, writes)

	b.setKeys(map[string][]byte{"eve.sshpub": eve.Public})
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj)["SourceVerified"], "False InvalidCommitSignature")

	b.Update("app", func(obj *sourcev1.GitRepository) { obj.Spec.Verification = nil })
	obj = b.MustBeReady("app")
	bench.Equal(t, bench.States(obj), map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"})
	if obj.Status.SourceVerificationMode != nil {
		t.Error("the mode of the verification is still there")
	}
}

func TestSignedTags(t *testing.T) {
	ada := gittest.NewSigner(t)
	b := newRig(t, nil, keysSecret(map[string][]byte{"ada.sshpub": ada.Public}))
	unsigned := b.repo.Commit("main", "first", map[string]string{"a.yaml": "1"})
	b.create("branch", nil)
	b.MustBeReady("branch")
	tag := ada.Tag(b.repo, "v1.0.0", "v1.0.0", unsigned)
	ada.Tag(b.repo, "v9.0.0", "v1.0.0", unsigned)
	b.repo.Git("tag", "light", unsigned)
	b.repo.Git("tag", "-m", "nobody signed this", "annotated", unsigned)
	b.repo.Commit("main", "second", map[string]string{"a.yaml": "2"})
	signed := ada.Commit(b.repo, "main")
	both := ada.Tag(b.repo, "v2.0.0", "v2.0.0", signed)

	for name, tt := range map[string]struct {
		mode           sourcev1.GitVerificationMode
		ref            sourcev1.GitRepositoryRef
		state, message string
	}{
		"tag": {"Tag", sourcev1.GitRepositoryRef{Tag: "v1.0.0"}, "True Succeeded",
			"verified signature of\n\t- tag 'v1.0.0@" + tag + "' with key '" + ada.Fingerprint + "'"},
		"tag and commit": {"TagAndHEAD", sourcev1.GitRepositoryRef{SemVer: "2.x"}, "True Succeeded",
			"verified signature of\n\t- tag 'v2.0.0@" + both + "' with key '" + ada.Fingerprint + "'\n\t- commit '" + signed + "' with key '" + ada.Fingerprint + "'"},
		"tag of an unsigned commit": {"TagAndHEAD", sourcev1.GitRepositoryRef{Tag: "v1.0.0"}, "False InvalidCommitSignature", "commit " + unsigned},
		"tag by its full name":      {"Tag", sourcev1.GitRepositoryRef{Name: "refs/tags/v1.0.0^{}"}, "True Succeeded", "v1.0.0@" + tag},
		"tag without annotation":    {"Tag", sourcev1.GitRepositoryRef{Tag: "light"}, "False InvalidGitObject", "tag light"},
		"unsigned tag":              {"Tag", sourcev1.GitRepositoryRef{Tag: "annotated"}, "False InvalidGitObject", "not signed"},
		"old tag under a new name":  {"Tag", sourcev1.GitRepositoryRef{SemVer: ">=9"}, "False InvalidTagSignature", `"v1.0.0"`},
		"no tag":                    {"TagAndHEAD", sourcev1.GitRepositoryRef{Branch: "main"}, "False InvalidVerificationMode", "spec.ref.tag"},
	} {
		t.Run(name, func(t *testing.T) {
			object := strings.ReplaceAll(name, " ", "-")
			b.T = t
			b.create(object, func(obj *sourcev1.GitRepository) {
				verify(tt.mode)(obj)
				obj.Spec.Reference = &tt.ref
			})
			obj, _ := b.Pass(object)
			bench.Equal(t, bench.States(obj)["SourceVerified"], tt.state)
			if c := apimeta.FindStatusCondition(obj.Status.Conditions, "SourceVerified"); c == nil || !strings.Contains(c.Message, tt.message) {
				t.Errorf("the condition does not say %q: %+v", tt.message, c)
			}
			if _, stored := b.Store.Get(refOf(obj)); stored != strings.HasPrefix(tt.state, "True") {
				t.Errorf("stored: %t", stored)
			}
		})
	}
}
