package kustomization

import (
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

func kustomization(name string, change func(*ksv1.KustomizationSpec)) *ksv1.Kustomization {
	obj := &ksv1.Kustomization{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "flux-system"}}
	obj.Spec.SourceRef = ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "deploy"}
	if change != nil {
		change(&obj.Spec)
	}
	return obj
}

func TestValidateRefusesWhatIsNotDone(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*ksv1.KustomizationSpec)
		want   string
	}{
		"nothing special": {nil, ""},
		"the identity of a cloud for another cluster": {
			func(s *ksv1.KustomizationSpec) {
				s.KubeConfig = &meta.KubeConfigReference{ConfigMapRef: &meta.LocalObjectReference{Name: "x"}}
			},
			"spec.kubeConfig.configMapRef",
		},
		"the identity of a cloud for decryption": {
			func(s *ksv1.KustomizationSpec) {
				s.Decryption = &ksv1.Decryption{Provider: "sops", ServiceAccountName: "x"}
			},
			"spec.decryption.serviceAccountName",
		},
		"another provider of decryption": {func(s *ksv1.KustomizationSpec) { s.Decryption = &ksv1.Decryption{Provider: "vault"} }, "spec.decryption.provider"},
		"a variable's name": {func(s *ksv1.KustomizationSpec) {
			s.PostBuild = &ksv1.PostBuild{Substitute: map[string]string{"a-b": "x"}}
		}, `spec.postBuild.substitute: variable "a-b"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := (&pass{obj: kustomization("x", tc.change)}).validate(t.Context())
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestACircleOfDependenciesIsNamed(t *testing.T) {
	on := func(names ...string) func(*ksv1.KustomizationSpec) {
		return func(s *ksv1.KustomizationSpec) {
			for _, n := range names {
				s.DependsOn = append(s.DependsOn, ksv1.DependencyReference{Name: n})
			}
		}
	}
	scheme := runtime.NewScheme()
	if err := ksv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{
		kustomization("a", on("b")), kustomization("b", on("leaf", "c")), kustomization("c", on("a")),
		kustomization("leaf", nil), kustomization("beside", on("b", "leaf")),
	}
	c := &Controller{reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
	for name, want := range map[string]string{
		"a":      "flux-system/a > flux-system/b > flux-system/c > flux-system/a",
		"leaf":   "",
		"beside": "", // the circle is the others' mistake
	} {
		var obj ksv1.Kustomization
		if err := c.reader.Get(t.Context(), client.ObjectKey{Namespace: "flux-system", Name: name}, &obj); err != nil {
			t.Fatal(err)
		}
		err := (&pass{Controller: c, obj: &obj}).checkCycle(t.Context())
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

func TestWhenWhatFailedIsTriedAgain(t *testing.T) {
	retry := (&Controller{}).kind().Retry
	for name, tc := range map[string]struct {
		interval, retryInterval time.Duration
		failures                int
		want                    time.Duration
	}{
		"the retry interval, each time":    {time.Hour, 2 * time.Hour, 7, 2 * time.Hour},
		"the retry interval, at once":      {time.Hour, time.Second, 1, time.Second},
		"by default first after a moment":  {time.Hour, 0, 1, reconcile.Backoff(1)},
		"by default never beyond interval": {time.Minute, 0, 100, time.Minute},
	} {
		obj := kustomization("x", func(s *ksv1.KustomizationSpec) {
			s.Interval.Duration = tc.interval
			if tc.retryInterval != 0 {
				s.RetryInterval = &metav1.Duration{Duration: tc.retryInterval}
			}
		})
		if got := retry(obj, tc.failures); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}

func TestParsePointer(t *testing.T) {
	for pointer, want := range map[string][]string{
		"/spec/replicas":                {"spec", "replicas"},
		"/metadata/annotations/a~1b~0c": {"metadata", "annotations", "a/b~c"},
	} {
		if got, err := parsePointer(pointer); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: got %v and %v, want %v", pointer, got, err, want)
		}
	}
	for _, pointer := range []string{"", "/", "spec.replicas"} {
		if _, err := parsePointer(pointer); err == nil {
			t.Errorf("%q: want an error", pointer)
		}
	}
}

func pack(vars map[string]any, managers ...metav1.ManagedFieldsEntry) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "k8s.kubit.ir/v1alpha1", "kind": "Pack", "metadata": map[string]any{"name": "app", "labels": map[string]any{"team": "a"}},
		"spec": map[string]any{"vars": vars},
	}}
	u.SetManagedFields(managers)
	return u
}

// A field that somebody else applied is left out; one that nobody else applied stays as it is in the cluster.
func TestLetGo(t *testing.T) {
	field := []string{"spec", "vars", "TAG"}
	webhook := metav1.ManagedFieldsEntry{
		Manager: "peyk-webhook", Operation: metav1.ManagedFieldsOperationApply,
		FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:vars":{"f:TAG":{}}}}`)},
	}
	edited := webhook
	edited.Manager, edited.Operation = "kubectl-edit", metav1.ManagedFieldsOperationUpdate
	ours := webhook
	ours.Manager = apply.Kustomizations.Manager
	for name, tc := range map[string]struct {
		live *unstructured.Unstructured
		want map[string]any
	}{
		"applied by another":     {pack(map[string]any{"TAG": "2"}, ours, webhook), map[string]any{"OTHER": "x"}},
		"edited by hand":         {pack(map[string]any{"TAG": "2"}, edited), map[string]any{"OTHER": "x", "TAG": "2"}},
		"ours alone":             {pack(map[string]any{"TAG": "1"}, ours), map[string]any{"OTHER": "x", "TAG": "1"}},
		"removed in the cluster": {pack(map[string]any{}), map[string]any{"OTHER": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := pack(map[string]any{"TAG": "1", "OTHER": "x"})
			letGo(obj, tc.live, field)
			got, _, _ := unstructured.NestedMap(obj.Object, "spec", "vars")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("vars (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelects(t *testing.T) {
	obj := pack(nil)
	for name, tc := range map[string]struct {
		selector *fluxkustomize.Selector
		want     bool
	}{
		"everything":    {nil, true},
		"kind":          {&fluxkustomize.Selector{Kind: "Pack"}, true},
		"another kind":  {&fluxkustomize.Selector{Kind: "Secret"}, false},
		"name":          {&fluxkustomize.Selector{Kind: "Pack", Name: "other"}, false},
		"group":         {&fluxkustomize.Selector{Group: "k8s.kubit.ir"}, true},
		"label":         {&fluxkustomize.Selector{LabelSelector: "team in (a, b)"}, true},
		"another label": {&fluxkustomize.Selector{LabelSelector: "team=b"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := selects(tc.selector, obj); err != nil || got != tc.want {
				t.Errorf("got %t and %v, want %t", got, err, tc.want)
			}
		})
	}
	if _, err := selects(&fluxkustomize.Selector{LabelSelector: "!!"}, obj); err == nil {
		t.Error("want an error for a selector that cannot be read")
	}
}
