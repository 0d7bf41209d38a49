package packrepository

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// catalog is a catalog whose only index the test gives.
type catalog struct {
	index *helm.Index
	err   error

	read    []helm.Repository
	failed  []string
	dropped []helm.Key
}

func (c *catalog) Refresh(_ context.Context, _ helm.Key, r helm.Repository) (*helm.Index, error) {
	c.read = append(c.read, r)
	return c.index, c.err
}

func (c *catalog) Fail(_ helm.Key, problem error) { c.failed = append(c.failed, problem.Error()) }

func (c *catalog) Drop(key helm.Key) { c.dropped = append(c.dropped, key) }

func newClient(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), packv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&packv1.PackRepository{}, &packv1.ClusterPackRepository{}).Build()
}

func newRepository(spec packv1.PackRepositorySpec) *packv1.PackRepository {
	return &packv1.PackRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "own", Generation: 1}, Spec: spec}
}

// onePass makes one pass over the repository, and returns it as it is then.
func onePass(t *testing.T, c client.Client, k *catalog) (*packv1.PackRepository, ctrl.Result) {
	t.Helper()
	empty := func() *packv1.PackRepository { return &packv1.PackRepository{} }
	kind := kindOf(packv1.PackRepositoryKind, empty, reader{catalog: k, secrets: c, namespace: "peyk-system"})
	d := &dropper[*packv1.PackRepository]{
		Runner: reconcile.NewRunner(kind, reconcile.Options{Client: c}),
		kind:   packv1.PackRepositoryKind, empty: empty, client: c, catalog: k,
	}
	name := types.NamespacedName{Namespace: "base", Name: "own"}
	result, err := d.Reconcile(t.Context(), ctrl.Request{NamespacedName: name})
	if err != nil {
		t.Fatal(err)
	}
	obj := empty()
	if err := client.IgnoreNotFound(c.Get(t.Context(), name, obj)); err != nil {
		t.Fatal(err)
	}
	return obj, result
}

func condition(obj *packv1.PackRepository, kind string) metav1.Condition {
	for _, c := range obj.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

func TestReady(t *testing.T) {
	two := &helm.Index{Revision: "sha256:ab", Charts: map[string][]helm.Version{"a": {}, "b": {}}}
	count := func(n int) *int { return &n }
	tests := []struct {
		url     string
		message string
		charts  *int
		again   bool
	}{
		{"https://charts.example", "2 charts in https://charts.example", count(2), true},
		{"oci://registry.example/charts", "registry oci://registry.example/charts is asked", nil, true},
		{"builtin://kubit-paas", "2 charts in builtin://kubit-paas", count(2), false},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			obj, result := onePass(t, newClient(t, newRepository(packv1.PackRepositorySpec{URL: tt.url})), &catalog{index: two})
			ready := condition(obj, "Ready")
			if ready.Status != metav1.ConditionTrue || !strings.HasPrefix(ready.Message, tt.message) {
				t.Errorf("Ready is %s %q", ready.Status, ready.Message)
			}
			if diff := cmp.Diff(tt.charts, obj.Status.Charts); diff != "" || obj.Status.Revision != "sha256:ab" {
				t.Errorf("status %+v", obj.Status)
			}
			if again := result.RequeueAfter > 0; again != tt.again || result.RequeueAfter > 11*time.Minute {
				t.Errorf("read again after %s", result.RequeueAfter)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	secret := func(data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "login"}, Data: data}
	}
	spec := packv1.PackRepositorySpec{URL: "https://charts.example", SecretRef: &packv1.SecretRef{Name: "login"}}
	k := &catalog{index: &helm.Index{}}
	onePass(t, newClient(t, newRepository(spec), secret(map[string][]byte{"username": []byte("u"), "password": []byte("p")})), k)
	if diff := cmp.Diff([]helm.Repository{{URL: "https://charts.example", Username: "u", Password: "p"}}, k.read); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for word, objects := range map[string][]client.Object{
		"Secret base/login of spec.secretRef does not exist": {newRepository(spec)},
		"Secret base/login has no password":                  {newRepository(spec), secret(map[string][]byte{"username": []byte("u")})},
	} {
		k := &catalog{}
		obj, result := onePass(t, newClient(t, objects...), k)
		ready := condition(obj, "Ready")
		if ready.Status != metav1.ConditionFalse || ready.Reason != reasonSecret || !strings.Contains(ready.Message, word) {
			t.Errorf("Ready is %s %s %q, want %q", ready.Status, ready.Reason, ready.Message, word)
		}
		if len(k.failed) != 1 || !strings.Contains(k.failed[0], word) || len(k.read) != 0 || result.RequeueAfter == 0 {
			t.Errorf("the catalog was told %v, read %v, again after %s", k.failed, k.read, result.RequeueAfter)
		}
	}
}

func TestFailures(t *testing.T) {
	tests := []struct {
		err     error
		stalled bool
	}{
		{errors.New("asking https://charts.example/index.yaml: connection refused"), false},
		{errors.New("spec.url starts with \"ftp\": use https://"), true},
	}
	for _, tt := range tests {
		obj, result := onePass(t, newClient(t, newRepository(packv1.PackRepositorySpec{URL: "https://charts.example"})), &catalog{err: tt.err})
		if ready := condition(obj, "Ready"); ready.Status != metav1.ConditionFalse || ready.Message != tt.err.Error() {
			t.Errorf("Ready is %s %q", ready.Status, ready.Message)
		}
		if stalled := condition(obj, "Stalled").Status == metav1.ConditionTrue; stalled != tt.stalled || (result.RequeueAfter > 0) == tt.stalled {
			t.Errorf("%v: stalled %v, again after %s", tt.err, stalled, result.RequeueAfter)
		}
	}
}

// A suspended repository is neither read nor written to, until it is resumed.
func TestSuspended(t *testing.T) {
	k := &catalog{index: &helm.Index{Revision: "sha256:ab", Charts: map[string][]helm.Version{"a": {}}}}
	c := newClient(t, newRepository(packv1.PackRepositorySpec{URL: "https://charts.example", Suspend: true}))
	obj, result := onePass(t, c, k)
	if len(k.read) > 0 || len(obj.Status.Conditions) > 0 || result.RequeueAfter > 0 {
		t.Errorf("suspended: read %d times, again after %s, status %+v", len(k.read), result.RequeueAfter, obj.Status)
	}
	obj.Spec.Suspend = false
	if err := c.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if obj, _ = onePass(t, c, k); len(k.read) != 1 || condition(obj, "Ready").Status != metav1.ConditionTrue {
		t.Errorf("resumed: read %d times, status %+v", len(k.read), obj.Status)
	}
}

func TestDeletedIsDropped(t *testing.T) {
	k := &catalog{}
	onePass(t, newClient(t), k)
	want := []helm.Key{{Kind: packv1.PackRepositoryKind, Namespace: "base", Name: "own"}}
	if diff := cmp.Diff(want, k.dropped); diff != "" {
		t.Errorf("dropped (-want +got):\n%s", diff)
	}
}

func TestEnsureBuiltin(t *testing.T) {
	own := &packv1.ClusterPackRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "kubit-packs"}, Spec: packv1.PackRepositorySpec{URL: "https://charts.example"},
	}
	c := newClient(t, own)
	for range 2 {
		if err := (EnsureBuiltin{Client: c}).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, url := range map[string]string{"kubit-paas": "builtin://kubit-paas", "kubit-packs": "https://charts.example"} {
		var r packv1.ClusterPackRepository
		if err := c.Get(t.Context(), types.NamespacedName{Name: name}, &r); err != nil || r.Spec.URL != url {
			t.Errorf("%s is at %q, %v; want %q", name, r.Spec.URL, err, url)
		}
	}
}

func TestGitCredentials(t *testing.T) {
	login := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "login"}, Data: map[string][]byte{"identity": []byte("key"), "known_hosts": []byte("hosts")}}
	spec := packv1.PackRepositorySpec{
		URL: "ssh://git@git.example/charts.git", SecretRef: &packv1.SecretRef{Name: "login"},
		Git: &packv1.PackRepositoryGit{Tags: ">=1.0.0", Path: "charts"},
	}
	k := &catalog{index: &helm.Index{}}
	onePass(t, newClient(t, newRepository(spec), login), k)
	if len(k.read) != 1 {
		t.Fatalf("the repository was not read: %v", k.failed)
	}
	g := k.read[0].Git
	if g == nil || g.Tags != ">=1.0.0" || g.Path != "charts" || string(g.Credentials.SSHKey) != "key" || string(g.Credentials.KnownHosts) != "hosts" {
		t.Errorf("read as %+v", g)
	}
	delete(login.Data, "known_hosts")
	obj, _ := onePass(t, newClient(t, newRepository(spec), login), &catalog{})
	if c := condition(obj, "Ready"); c.Reason != "AuthenticationFailed" || !strings.Contains(c.Message, "known_hosts") {
		t.Errorf("Ready is %s %q", c.Reason, c.Message)
	}
}

func TestVerification(t *testing.T) {
	keys := func(data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "keys"}, Data: data}
	}
	spec := func(provider string) packv1.PackRepositorySpec {
		return packv1.PackRepositorySpec{URL: "https://charts.example", Verify: &packv1.PackRepositoryVerification{Provider: provider, SecretRef: packv1.SecretRef{Name: "keys"}}}
	}
	prints := map[string]bool{}
	for _, ring := range []string{"one", "two"} {
		k := &catalog{index: &helm.Index{}}
		onePass(t, newClient(t, newRepository(spec("pgp")), keys(map[string][]byte{"a.gpg": []byte(ring)})), k)
		v := k.read[0].Verify
		if v == nil || string(v.Keyrings["a.gpg"]) != ring || v.Signed != nil {
			t.Fatalf("verified by %+v", v)
		}
		prints[v.Fingerprint] = true
	}
	if len(prints) != 2 {
		t.Error("other keys have the same fingerprint: what was verified with the old ones would pass")
	}
	for name, tt := range map[string]struct {
		secret *corev1.Secret
		want   string
	}{
		"no Secret": {keys(nil), "holds no public key"},
		"no key":    {keys(map[string][]byte{"a.gpg": []byte("x")}), "holds no public key"},
		"not a key": {keys(map[string][]byte{"a.pub": []byte("x")}), "not a public key in PEM form"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &catalog{}
			obj, _ := onePass(t, newClient(t, newRepository(spec("cosign")), tt.secret), k)
			if c := condition(obj, "Ready"); c.Reason != "AuthenticationFailed" || !strings.Contains(c.Message, tt.want) || len(k.read) > 0 {
				t.Errorf("Ready is %s %q, read %v", c.Reason, c.Message, k.read)
			}
		})
	}
}
