package crds_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/peyk/peyk/api/crds"
)

func TestAll(t *testing.T) {
	all, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]string{}
	for _, object := range all {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &definition, true); err != nil {
			t.Fatalf("%s is not a definition: %v", object.GetName(), err)
		}
		if got := definition.Labels["kustomize.toolkit.fluxcd.io/substitute"]; got != "disabled" {
			t.Errorf("%s: label substitute = %q, want disabled", definition.Name, got)
		}
		for _, version := range definition.Spec.Versions {
			if version.Subresources == nil || version.Subresources.Status == nil {
				t.Errorf("%s %s has no status subresource", definition.Name, version.Name)
			}
			if version.Served {
				served[definition.Name] = version.Name
			}
		}
	}
	want := map[string]string{
		"packs.k8s.kubit.ir":                         "v1alpha1",
		"packrepositories.k8s.kubit.ir":              "v1alpha1",
		"clusterpackrepositories.k8s.kubit.ir":       "v1alpha1",
		"gitrepositories.source.toolkit.fluxcd.io":   "v1",
		"kustomizations.kustomize.toolkit.fluxcd.io": "v1",
		"receivers.notification.toolkit.fluxcd.io":   "v1",
	}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Errorf("served versions differ (-want +got):\n%s", diff)
	}
}

// Flux's clients take a status that was never written for one of generation -1.
func TestFluxStatusDefault(t *testing.T) {
	all, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range all {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &definition); err != nil {
			t.Fatal(err)
		}
		if definition.Spec.Group == "k8s.kubit.ir" {
			continue
		}
		status := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"]
		if status.Default == nil || string(status.Default.Raw) != `{"observedGeneration":-1}` {
			t.Errorf("%s: default of status = %v, want observedGeneration -1", definition.Name, status.Default)
		}
	}
}
