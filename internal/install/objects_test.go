package install_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/peyk/peyk/internal/install"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func objects(t *testing.T, o install.Options) []*unstructured.Unstructured {
	t.Helper()
	all, err := install.Objects(o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var everything = install.Options{
	Image: "registry.example.org/peyk@sha256:" + strings.Repeat("a", 64), Namespace: "peyk-system", IngressHost: "peyk.example.org",
}

func TestExport(t *testing.T) {
	cases := map[string]install.Options{
		"default.golden.yaml": {Image: "localhost:5000/peyk:dev", Namespace: "tools"},
		"ingress.golden.yaml": everything,
	}
	for file, o := range cases {
		t.Run(file, func(t *testing.T) {
			var ours []*unstructured.Unstructured
			for _, object := range objects(t, o) {
				if object.GetKind() != "CustomResourceDefinition" {
					ours = append(ours, object)
				}
			}
			var got bytes.Buffer
			if err := install.Export(&got, ours); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v: write it with go test ./internal/install -update", err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("export differs from %s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func TestObjectsHaveNoUnknownFields(t *testing.T) {
	s := newScheme(t)
	for _, object := range objects(t, everything) {
		if object.GetKind() == "APIService" {
			continue // its types are those of the API server alone
		}
		typed, err := s.New(object.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true); err != nil {
			t.Errorf("%s/%s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	cases := map[string]struct {
		change func(*install.Options)
		want   string
	}{
		"no image":      {func(o *install.Options) { o.Image = "" }, "--image"},
		"bad image":     {func(o *install.Options) { o.Image = "Not An Image" }, `"Not An Image"`},
		"bad namespace": {func(o *install.Options) { o.Namespace = "a: b" }, `namespace "a: b"`},
		"bad host":      {func(o *install.Options) { o.IngressHost = "http://x" }, `ingress host "http://x"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := everything
			c.change(&o)
			if _, err := install.Objects(o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one that says %q", err, c.want)
			}
		})
	}
}
