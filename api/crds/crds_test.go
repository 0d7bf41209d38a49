package crds_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/peyk/peyk/api/crds"
)

// stateless are the kinds that have no status.
var stateless = map[string]bool{
	"alerts.notification.toolkit.fluxcd.io":    true,
	"configs.k8s.kubit.ir":                     true,
	"clusterconfigs.k8s.kubit.ir":              true,
	"providers.notification.toolkit.fluxcd.io": true,
}

func TestAll(t *testing.T) {
	served, stored := map[string]string{}, map[string]string{}
	for _, definition := range definitions(t) {
		if got := definition.Labels["kustomize.toolkit.fluxcd.io/substitute"]; got != "disabled" {
			t.Errorf("%s: label substitute = %q, want disabled", definition.Name, got)
		}
		for _, version := range definition.Spec.Versions {
			hasStatus := version.Subresources != nil && version.Subresources.Status != nil
			if hasStatus == stateless[definition.Name] {
				t.Errorf("%s %s: status subresource = %t", definition.Name, version.Name, hasStatus)
			}
			if version.Served {
				served[definition.Name] += version.Name + " "
			}
			if version.Storage {
				stored[definition.Name] = version.Name
			}
		}
	}
	want := map[string]string{
		"packs.k8s.kubit.ir":                         "v1alpha1 ",
		"configs.k8s.kubit.ir":                       "v1alpha1 ",
		"clusterconfigs.k8s.kubit.ir":                "v1alpha1 ",
		"packrepositories.k8s.kubit.ir":              "v1alpha1 ",
		"packsyncs.peyk.dev":                         "v1alpha1 ",
		"secretreflectors.k8s.kubit.ir":              "v1alpha1 ",
		"clusterpackrepositories.k8s.kubit.ir":       "v1alpha1 ",
		"alerts.notification.toolkit.fluxcd.io":      "v1beta3 v1beta1 v1beta2 ",
		"buckets.source.toolkit.fluxcd.io":           "v1 v1beta1 v1beta2 ",
		"externalartifacts.source.toolkit.fluxcd.io": "v1 ",
		"gitrepositories.source.toolkit.fluxcd.io":   "v1 v1beta1 v1beta2 ",
		"helmcharts.source.toolkit.fluxcd.io":        "v1 v1beta1 v1beta2 ",
		"helmreleases.helm.toolkit.fluxcd.io":        "v2 v2beta1 v2beta2 ",
		"helmrepositories.source.toolkit.fluxcd.io":  "v1 v1beta1 v1beta2 ",
		"kustomizations.kustomize.toolkit.fluxcd.io": "v1 v1beta1 v1beta2 ",
		"ocirepositories.source.toolkit.fluxcd.io":   "v1 v1beta2 ",
		"providers.notification.toolkit.fluxcd.io":   "v1beta3 v1beta1 v1beta2 ",
		"receivers.notification.toolkit.fluxcd.io":   "v1 v1beta1 v1beta2 ",
	}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Errorf("served versions differ (-want +got):\n%s", diff)
	}
	for name, versions := range want {
		if newest, _, _ := strings.Cut(versions, " "); stored[name] != newest {
			t.Errorf("%s stores %s, want %s", name, stored[name], newest)
		}
	}
}

func definitions(t *testing.T) []apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	all, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	parsed := make([]apiextensionsv1.CustomResourceDefinition, len(all))
	for i, object := range all {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &parsed[i], true); err != nil {
			t.Fatalf("%s is not a definition: %v", object.GetName(), err)
		}
	}
	return parsed
}

// Flux's clients take a status that was never written for one of generation -1.
func TestFluxStatusDefault(t *testing.T) {
	for _, definition := range definitions(t) {
		if isOurs := definition.Spec.Group == "k8s.kubit.ir" || definition.Spec.Group == "peyk.dev"; isOurs || stateless[definition.Name] || definition.Spec.Names.Kind == "ExternalArtifact" {
			continue
		}
		for _, version := range definition.Spec.Versions {
			status := version.Schema.OpenAPIV3Schema.Properties["status"]
			if status.Default == nil || string(status.Default.Raw) != `{"observedGeneration":-1}` {
				t.Errorf("%s %s: default of status = %v, want observedGeneration -1", definition.Name, version.Name, status.Default)
			}
		}
	}
}

// Fields that were taken away from an older version, but meant nothing, are still accepted in it.
func TestRetiredFields(t *testing.T) {
	for _, definition := range definitions(t) {
		if definition.Name != "gitrepositories.source.toolkit.fluxcd.io" {
			continue
		}
		for _, version := range definition.Spec.Versions {
			_, accepted := version.Schema.OpenAPIV3Schema.Properties["spec"].Properties["gitImplementation"]
			if accepted == (version.Name == "v1") {
				t.Errorf("%s: gitImplementation accepted = %t", version.Name, accepted)
			}
		}
	}
}

// What `kubectl get packs` shows, and with -o wide besides.
func TestColumnsOfPacks(t *testing.T) {
	for _, definition := range definitions(t) {
		if definition.Name != "packs.k8s.kubit.ir" {
			continue
		}
		var narrow, wide []string
		for _, column := range definition.Spec.Versions[0].AdditionalPrinterColumns {
			if column.Priority == 0 {
				narrow = append(narrow, column.Name)
			} else {
				wide = append(wide, column.Name+" "+column.JSONPath)
			}
		}
		if diff := cmp.Diff([]string{"Chart", "Version", "Constraint", "Phase", "Ready", "Message", "Age"}, narrow); diff != "" {
			t.Errorf("columns (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"Newest .status.newestVersion", "AutoUpgrade .spec.autoUpgrade"}, wide); diff != "" {
			t.Errorf("wide columns (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("there is no definition of Packs")
}
