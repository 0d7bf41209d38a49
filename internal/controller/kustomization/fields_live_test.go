package kustomization

import (
	"fmt"
	"strings"
	"testing"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// Every field of the spec that changes what is built reaches the object in the cluster.
func TestFieldsOfTheBuild(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	digest := "sha256:" + strings.Repeat("0", 64)
	r.push("GitRepository", "main@sha1:1", map[string]string{
		"app/pod.yaml": "apiVersion: v1\nkind: PodTemplate\nmetadata: {name: web, annotations: {patch: me}}\n" +
			"template: {spec: {containers: [{name: a, image: a}, {name: b, image: b}]}}\n",
		"part/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {part: 'yes'}\n",
	})
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.Path, k.Spec.TargetNamespace, k.Spec.NamePrefix, k.Spec.NameSuffix = "app", r.ns, "my-", "-v1"
		k.Spec.Components, k.Spec.BuildMetadata = []string{"../part", "../absent"}, []ksv1.BuildMetadataOption{"originAnnotations"}
		k.Spec.CommonMetadata = &ksv1.CommonMetadata{Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"owner": "b"}}
		k.Spec.Images = []kustomize.Image{{Name: "a", NewName: "mirror/a", NewTag: "2"}, {Name: "b", Digest: digest}}
		k.Spec.Patches = []kustomize.Patch{
			{Patch: `[{"op": "add", "path": "/metadata/annotations/patched", "value": "yes"}]`, Target: &kustomize.Selector{Version: "v1", Kind: "PodTemplate", Name: "w.*", AnnotationSelector: "patch=me"}},
			{Patch: `[{"op": "add", "path": "/metadata/annotations/patched", "value": "no"}]`, Target: &kustomize.Selector{AnnotationSelector: "patch=you"}},
			{Patch: `[{"op": "add", "path": "/metadata/annotations/patched", "value": "no"}]`, Target: &kustomize.Selector{Group: "apps"}},
			{Patch: `[{"op": "add", "path": "/metadata/annotations/patched", "value": "no"}]`, Target: &kustomize.Selector{Namespace: "other"}},
			{Patch: `[{"op": "add", "path": "/metadata/annotations/patched", "value": "no"}]`, Target: &kustomize.Selector{LabelSelector: "patch=me"}},
		}
	})
	r.becomes("a", "Ready", "False", meta.BuildFailedReason, "absent")
	r.change("a", func(k *ksv1.Kustomization) { k.Spec.IgnoreMissingComponents = true })
	r.ready("a", "main@sha1:1")
	made := &corev1.PodTemplate{}
	must(t, r.client.Get(t.Context(), types.NamespacedName{Namespace: r.ns, Name: "my-web-v1"}, made))
	for name, want := range map[string]string{"owner": "b", "part": "yes", "patched": "yes", "config.kubernetes.io/origin": "path: pod.yaml\n"} {
		if got := made.Annotations[name]; got != want {
			t.Errorf("the annotation %s is %q, want %q", name, got, want)
		}
	}
	if made.Labels["team"] != "a" {
		t.Errorf("the labels are %v", made.Labels)
	}
	if got := made.Template.Spec.Containers; got[0].Image != "mirror/a:2" || got[1].Image != "b@"+digest {
		t.Errorf("the images are %s and %s", got[0].Image, got[1].Image)
	}
}

// Without variables nothing is substituted, unless the strategy says so: then defaults count.
func TestSubstituteStrategy(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	r.push("GitRepository", "main@sha1:1", map[string]string{"a.yaml": configMapOf("a", "${size:=small}")})
	r.follow("a", func(k *ksv1.Kustomization) { k.Spec.PostBuild = &ksv1.PostBuild{} })
	for _, step := range []struct {
		strategy ksv1.SubstituteStrategy
		want     string
	}{
		{"", "${size:=small}"}, {ksv1.SubstituteStrategyAlways, "small"}, {ksv1.SubstituteStrategyWithVariables, "${size:=small}"},
	} {
		r.change("a", func(k *ksv1.Kustomization) { k.Spec.PostBuild.SubstituteStrategy = step.strategy })
		soon(t, func() error {
			if got := r.value("a", "key"); got != step.want {
				return fmt.Errorf("strategy %q: the value is %q, want %q", step.strategy, got, step.want)
			}
			return nil
		})
	}
}

// What spec.ignore names is made with the object, and is left to others after that.
func TestIgnoredFieldsAreLeftToOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, tenancy.Policy{})
	files := func(note string) map[string]string {
		return map[string]string{
			"web.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: NS}\nspec:\n" +
				"  replicas: 1\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n" +
				"    spec: {containers: [{name: a, image: 'a:1'}, {name: b, image: 'b:1'}]}\n",
			"labelled.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: labelled, namespace: NS, labels: {tier: x}}\ndata: {key: '1', note: '" + note + "'}\n",
			"annotated.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: annotated, namespace: NS, annotations: {tier: x}}\ndata: {key: '1', note: '" + note + "'}\n",
			"plain.yaml":     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: NS}\ndata: {key: '1', note: '" + note + "'}\n",
		}
	}
	r.push("GitRepository", "main@sha1:1", files("first"))
	r.follow("a", func(k *ksv1.Kustomization) {
		k.Spec.Ignore = []ksv1.IgnoreRule{
			{
				Paths:  []string{"/spec/replicas", "/spec/template/spec/containers/1/image"},
				Target: &kustomize.Selector{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: r.ns, Name: "w.*"},
			},
			{Paths: []string{"/data/key"}, Target: &kustomize.Selector{LabelSelector: "tier=x"}},
			{Paths: []string{"/data/key"}, Target: &kustomize.Selector{AnnotationSelector: "tier=x"}},
		}
	})
	r.ready("a", "main@sha1:1")
	deployment := func() (replicas int32, images string) {
		t.Helper()
		d := &appsv1.Deployment{}
		must(t, r.client.Get(t.Context(), types.NamespacedName{Namespace: r.ns, Name: "web"}, d))
		containers := d.Spec.Template.Spec.Containers
		return *d.Spec.Replicas, containers[0].Image + " " + containers[1].Image
	}
	if replicas, images := deployment(); replicas != 1 || images != "a:1 b:1" {
		t.Fatalf("a new object has %d replicas of %s", replicas, images)
	}
	// All at once: a pass that began between two of these writes would not know of the second.
	r.change("a", func(k *ksv1.Kustomization) { k.Spec.Suspend = true })
	r.patch(&appsv1.Deployment{}, "web", `{"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"a","image":"a:2"},{"name":"b","image":"b:2"}]}}}}`)
	for _, name := range []string{"labelled", "annotated", "plain"} {
		r.patch(&corev1.ConfigMap{}, name, `{"data":{"key":"by hand"}}`)
	}
	r.change("a", func(k *ksv1.Kustomization) { k.Spec.Suspend = false })
	left := func(want int32) {
		t.Helper()
		soon(t, func() error {
			replicas, images := deployment()
			keys := r.value("labelled", "key") + ", " + r.value("annotated", "key") + ", " + r.value("plain", "key")
			if replicas != want || images != "a:1 b:2" || keys != "by hand, by hand, 1" {
				return fmt.Errorf("%d replicas of %s, keys %s", replicas, images, keys)
			}
			return nil
		})
	}
	left(3)
	r.push("GitRepository", "main@sha1:2", files("second"))
	r.ready("a", "main@sha1:2")
	left(3)
	if note := r.value("labelled", "note"); note != "second" {
		t.Errorf("the note, which is not ignored, is %q", note)
	}
	// Another manager applies the field, and has it for itself from then on.
	theirs := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"namespace": r.ns, "name": "web"},
		"spec": map[string]any{"replicas": int64(5)},
	}}
	must(t, r.client.Patch(t.Context(), theirs, client.Apply, client.ForceOwnership, client.FieldOwner("scaler"))) //nolint:staticcheck // unstructured
	r.push("GitRepository", "main@sha1:3", files("third"))
	r.ready("a", "main@sha1:3")
	left(5)
	r.change("a", func(k *ksv1.Kustomization) { k.Spec.Ignore = nil })
	soon(t, func() error {
		if replicas, images := deployment(); replicas != 1 || images != "a:1 b:1" {
			return fmt.Errorf("without spec.ignore there are %d replicas of %s", replicas, images)
		}
		return nil
	})
	for path, says := range map[string]string{"replicas": "JSON pointer", "/spec": "target"} {
		r.change("a", func(k *ksv1.Kustomization) {
			k.Spec.Ignore = []ksv1.IgnoreRule{{Paths: []string{path}}}
			if says == "target" {
				k.Spec.Ignore[0].Target = &kustomize.Selector{Name: "("}
			}
		})
		r.becomes("a", "Stalled", "True", reasonInvalid, "spec.ignore", says)
	}
}
