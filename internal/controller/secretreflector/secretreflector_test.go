package secretreflector

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/testkit"
)

type data = map[string]string

// chosen returns a selector for namespaces with a label that is this test's own, and the label.
func (r *rig) chosen() (*metav1.LabelSelector, map[string]string) {
	label := map[string]string{"test": r.ns}
	return &metav1.LabelSelector{MatchLabels: label}, label
}

func TestCopiesFollowTheSecret(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	selector, label := r.chosen()
	named, one := r.namespace(nil), r.namespace(label)
	r.secret(r.ns, "login", data{"user": "a", "password": "hunter2"})
	r.reflector(func(s *packv1.SecretReflectorSpec) {
		s.Targets = packv1.ReflectorTargets{Namespaces: []string{named}, NamespaceSelector: selector}
	})
	copied := r.holds(named, "login", data{"user": "a", "password": "hunter2"})
	r.holds(one, "login", data{"user": "a", "password": "hunter2"})
	want := map[string]string{packv1.ReflectorNameLabel: "r", packv1.ReflectorNamespaceLabel: r.ns}
	if diff := cmp.Diff(want, copied.Labels); diff != "" || len(copied.Annotations) != 0 || copied.Type != corev1.SecretTypeOpaque {
		t.Errorf("more than type and data is copied: %s %v %s", diff, copied.Annotations, copied.Type)
	}
	late := r.namespace(label)
	r.holds(late, "login", data{"user": "a", "password": "hunter2"})
	r.secret(r.ns, "login", data{"password": "hunter3"})
	for _, namespace := range []string{named, one, late} {
		r.holds(namespace, "login", data{"password": "hunter3"})
	}
	obj := r.becomes("True", "Succeeded", "3 namespaces")
	if obj.Status.Synced != "3/3" || len(obj.Status.Targets) != 3 || state(obj, late).State != packv1.TargetSynced {
		t.Errorf("%+v", obj.Status)
	}
	if said := r.heard(); strings.Contains(said, "hunter") || strings.Contains(fmt.Sprint(obj), "hunter") {
		t.Errorf("the secret is told: %s %v", said, obj)
	}
}

func TestDriftOfACopy(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	target := r.namespace(nil)
	r.secret(r.ns, "login", data{"a": "1"})
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{target} })
	copied := r.holds(target, "login", data{"a": "1"})
	r.becomes("True", "Succeeded")

	copied.Data["b"] = []byte("x")
	copied.Labels["their"] = "own"
	must(t, r.client.Update(t.Context(), copied))
	copied = r.holds(target, "login", data{"a": "1"})
	if copied.Labels["their"] != "own" {
		t.Errorf("the label of somebody else is taken away: %v", copied.Labels)
	}
	soon(t, func() error {
		if !strings.Contains(r.heard(), "DriftCorrected: put Secret "+target+"/login") {
			return fmt.Errorf("it is not said: %s", r.heard())
		}
		return nil
	})
	must(t, r.client.Delete(t.Context(), copied))
	again := r.holds(target, "login", data{"a": "1"})
	if again.UID == copied.UID {
		t.Error("it was not deleted")
	}
	// A copy that somebody froze is replaced.
	again.Immutable = new(true)
	must(t, r.client.Update(t.Context(), again))
	r.secret(r.ns, "login", data{"a": "2"})
	if frozen := r.holds(target, "login", data{"a": "2"}); frozen.UID == again.UID || frozen.Immutable != nil {
		t.Error("the frozen copy was not replaced")
	}
}

// While it is suspended copies are neither changed, nor put back, nor made, nor taken away, whatever wakes it.
func TestSuspend(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	one, two := r.namespace(nil), r.namespace(nil)
	r.secret(r.ns, "login", data{"a": "1"})
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{one} })
	copied := r.holds(one, "login", data{"a": "1"})
	r.becomes("True", "Succeeded")
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Suspend = true })
	copied.Data["a"] = []byte("drifted")
	must(t, r.client.Update(t.Context(), copied))
	r.secret(r.ns, "login", data{"a": "2"})
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{two} })
	before := r.get()
	r.take()
	// A second one in the same cluster shows that what wakes both has come.
	witness := &packv1.SecretReflector{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "witness"}}
	witness.Spec.SecretRef.Name, witness.Spec.TargetName, witness.Spec.Targets.Namespaces = "login", "seen", []string{two}
	must(t, r.client.Create(t.Context(), witness))
	t.Cleanup(func() { _ = r.client.Delete(context.Background(), witness) })
	r.secret(r.ns, "login", data{"a": "3"})
	r.holds(two, "seen", data{"a": "3"})
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, call := range r.take() {
			if strings.HasSuffix(call, "/login") && !strings.HasPrefix(call, "GET ") {
				t.Fatalf("suspended: %s", call)
			}
		}
	}
	r.holds(one, "login", data{"a": "drifted"})
	if after := r.get(); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the status was written: %+v", after.Status)
	}
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Suspend = false })
	r.holds(two, "login", data{"a": "3"})
	r.gone(one, "login")
}

func TestKeysAndNames(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	target := r.namespace(nil)
	r.secret(r.ns, "login", data{"a": "1", "b": "2", "c": "3"})
	r.reflector(func(s *packv1.SecretReflectorSpec) {
		s.Targets.Namespaces, s.Keys, s.TargetName = []string{target}, []string{"a", "b"}, "theirs"
	})
	r.holds(target, "theirs", data{"a": "1", "b": "2"})
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Keys = []string{"a", "absent"} })
	r.becomes("False", reasonSource, "has no key absent")
	r.holds(target, "theirs", data{"a": "1", "b": "2"})
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Keys, s.TargetName = []string{"c"}, "other" })
	r.holds(target, "other", data{"c": "3"})
	r.gone(target, "theirs")
	// Another type makes another Secret.
	must(t, r.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "login"}}))
	r.becomes("False", reasonSource, "there is no Secret")
	r.holds(target, "other", data{"c": "3"})
	typed := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "login"}, Type: "example.org/other", Data: map[string][]byte{"c": []byte("4")}}
	must(t, r.client.Create(t.Context(), typed))
	if made := r.holds(target, "other", data{"c": "4"}); made.Type != typed.Type {
		t.Errorf("type %s", made.Type)
	}
}

func TestAForeignSecretIsLeftAlone(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	target, free := r.namespace(nil), r.namespace(nil)
	foreign := r.secret(target, "login", data{"mine": "yes"})
	r.secret(r.ns, "login", data{"a": "1"})
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{target, free} })
	r.holds(free, "login", data{"a": "1"})
	obj := r.becomes("False", reasonConflict, "1 of 2 targets", target)
	if got := state(obj, target); got.State != packv1.TargetConflict || !strings.Contains(got.Message, "targetName") || obj.Status.Synced != "1/2" {
		t.Errorf("%+v", obj.Status)
	}
	r.secret(r.ns, "login", data{"a": "2"})
	r.holds(free, "login", data{"a": "2"})
	if still := r.holds(target, "login", data{"mine": "yes"}); still.ResourceVersion != foreign.ResourceVersion {
		t.Error("it was written")
	}
	// One with the labels of a copy, as somebody gets who copies a manifest, is no copy either.
	pasted := r.secret(target, "pasted", data{"mine": "too"})
	pasted.Labels = ownerLabels(client.ObjectKey{Namespace: r.ns, Name: "r"})
	must(t, r.client.Update(t.Context(), pasted))
	must(t, r.client.Delete(t.Context(), foreign))
	r.holds(target, "login", data{"a": "2"})
	r.becomes("True", "Succeeded")
	must(t, r.client.Delete(t.Context(), r.get()))
	r.gone(target, "login")
	r.gone(free, "login")
	r.holds(target, "pasted", data{"mine": "too"})
	r.holds(r.ns, "login", data{"a": "2"})
}

func TestTargetsThatGo(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	selector, label := r.chosen()
	one, two := r.namespace(label), r.namespace(label)
	r.secret(r.ns, "login", data{"a": "1"})
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.NamespaceSelector = selector })
	r.holds(one, "login", data{"a": "1"})
	r.holds(two, "login", data{"a": "1"})
	unlabel := []byte(`{"metadata":{"labels":{"test":null}}}`)
	space := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	must(t, r.client.Patch(t.Context(), space(one), client.RawPatch("application/merge-patch+json", unlabel)))
	r.gone(one, "login")
	r.edit(func(s *packv1.SecretReflectorSpec) { s.DeletionPolicy = packv1.ReflectorKeep })
	r.becomes("True", "Succeeded")
	must(t, r.client.Patch(t.Context(), space(two), client.RawPatch("application/merge-patch+json", unlabel)))
	r.becomes("True", "Succeeded", "0 namespaces")
	r.holds(two, "login", data{"a": "1"})
	obj := r.get()
	must(t, r.client.Delete(t.Context(), obj))
	soon(t, func() error {
		if err := r.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err == nil {
			return fmt.Errorf("the SecretReflector is there")
		}
		return nil
	})
	r.holds(two, "login", data{"a": "1"})
}

func TestNamespacesThatAreNotThere(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	going := r.namespace(nil)
	late := strings.Replace(going, "sr-", "late-", 1)
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: going, Name: "held", Finalizers: []string{"test.peyk.dev/held"}}}
	must(t, r.client.Create(t.Context(), held))
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: going}}
	must(t, r.client.Delete(t.Context(), space))
	t.Cleanup(func() {
		held.Finalizers = nil
		_ = r.client.Update(context.Background(), held)
	})
	r.secret(r.ns, "login", data{"a": "1"})
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{going, late} })
	obj := r.becomes("True", "Succeeded", "2 are awaited")
	if state(obj, going).State != packv1.TargetAwaited || state(obj, late).Message != "the namespace does not exist" {
		t.Errorf("%+v", obj.Status.Targets)
	}
	must(t, r.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: late}}))
	r.holds(late, "login", data{"a": "1"})
}

func TestTenants(t *testing.T) {
	r := newRig(t, tenancy.Policy{}.LockDown())
	selector, label := r.chosen()
	named, hidden := r.namespace(nil), r.namespace(label)
	r.secret(r.ns, "login", data{"a": "1"})
	r.grant(r.ns)
	r.reflector(func(s *packv1.SecretReflectorSpec) {
		s.Targets = packv1.ReflectorTargets{Namespaces: []string{named}, NamespaceSelector: selector}
	})
	obj := r.becomes("False", tenancy.AccessDenied, packv1.AllowReflectionFrom+": "+r.ns)
	if state(obj, named).State != packv1.TargetDenied || state(obj, hidden).State != "" || len(obj.Status.Targets) != 1 {
		t.Errorf("%+v", obj.Status.Targets)
	}
	r.allow(named, "somebody, "+r.ns)
	obj = r.becomes("False", reasonFailed, "forbidden")
	if state(obj, named).State != packv1.TargetFailed {
		t.Errorf("%+v", obj.Status.Targets)
	}
	r.grant(named)
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Keys = []string{"a"} })
	r.holds(named, "login", data{"a": "1"})
	r.becomes("True", "Succeeded", "1 namespaces")
	r.allow(named, "somebody")
	r.gone(named, "login")
	r.becomes("False", tenancy.AccessDenied)

	r.stop()
	r.start(tenancy.Policy{}.LockDown(), r.ns)
	r.holds(named, "login", data{"a": "1"})
	r.holds(hidden, "login", data{"a": "1"})
}

// allow annotates a namespace.
func (r *rig) allow(namespace, value string) {
	r.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, packv1.AllowReflectionFrom, value)
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	must(r.T, r.client.Patch(r.Context(), space, client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// grant lets the default service account of the rig's namespace write Secrets of a namespace.
func (r *rig) grant(namespace string) {
	r.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "reflect"}
	must(r.T, r.client.Create(r.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "create", "patch", "delete"},
	}}}))
	must(r.T, r.client.Create(r.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reflect"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: r.ns, Name: "default"}},
	}))
}

func TestWrongSpecs(t *testing.T) {
	r := newRig(t, tenancy.Policy{})
	for name, change := range map[string]func(*packv1.SecretReflector){
		"no targets":   func(*packv1.SecretReflector) {},
		"a long name":  func(o *packv1.SecretReflector) { o.Name = strings.Repeat("a", 64) },
		"a wrong name": func(o *packv1.SecretReflector) { o.Spec.TargetName = "Upper" },
		"a wrong word": func(o *packv1.SecretReflector) { o.Spec.DeletionPolicy = "Orphan" },
		"no Secret":    func(o *packv1.SecretReflector) { o.Spec.SecretRef.Name = "" },
	} {
		obj := &packv1.SecretReflector{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "wrong"}}
		obj.Spec.SecretRef.Name = "login"
		if name != "no targets" {
			obj.Spec.Targets.Namespaces = []string{"a"}
		}
		change(obj)
		if err := r.client.Create(t.Context(), obj); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	r.secret(r.ns, "login", data{"a": "1"})
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{r.ns} })
	r.becomes("False", reasonInvalid, "the Secret itself")
	r.edit(func(s *packv1.SecretReflectorSpec) { s.TargetName = "twin" })
	r.holds(r.ns, "twin", data{"a": "1"})
}

// TestManyNamespaces counts requests: one for each copy that is written, and none for what is in place.
func TestManyNamespaces(t *testing.T) {
	n := 100
	if testkit.Full() {
		n = 1000
	}
	r := newRig(t, tenancy.Policy{})
	selector, label := r.chosen()
	spaces := make([]string, n)
	for i := range spaces {
		spaces[i] = r.namespace(label)
	}
	r.secret(r.ns, "login", data{"a": "1"})
	synced := fmt.Sprintf("%d namespaces", n)
	r.take()
	start := time.Now()
	r.reflector(func(s *packv1.SecretReflectorSpec) { s.Targets.NamespaceSelector = selector })
	r.becomes("True", "Succeeded", synced)
	t.Logf("%d copies made in %s", n, time.Since(start))
	r.expect("made", n, "POST")

	start = time.Now()
	source := r.secret(r.ns, "login", data{"a": "2"})
	soon(t, func() error {
		if got := r.get().Status.SourceVersion; got != source.ResourceVersion {
			return fmt.Errorf("version %s, want %s", got, source.ResourceVersion)
		}
		return nil
	})
	t.Logf("%d copies changed in %s", n, time.Since(start))
	r.expect("changed", n, "PATCH")

	// A restart reads the copies, and a pass over what is in place makes no request.
	r.stop()
	r.take()
	r.start(tenancy.Policy{})
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = []string{spaces[0]} })
	r.becomes("True", "Succeeded", synced)
	r.expect("restart", 0, "")
	r.edit(func(s *packv1.SecretReflectorSpec) { s.Targets.Namespaces = nil })
	r.becomes("True", "Succeeded", synced)
	if calls := r.take(); len(calls) > 0 {
		t.Errorf("a pass over what is in place: %v", calls)
	}
}

// expect checks how many writes there were, of which method, and that few reads went along.
func (r *rig) expect(what string, writes int, method string) {
	r.Helper()
	reads, wrote := 0, 0
	for _, call := range r.take() {
		switch verb, _, _ := strings.Cut(call, " "); verb {
		case method:
			wrote++
		case "GET":
			reads++
		default:
			r.Errorf("%s: %s", what, call)
		}
	}
	if wrote != writes || reads > 6+writes/100 {
		r.Errorf("%s: %d writes, want %d; %d reads", what, wrote, writes, reads)
	}
}
