package install_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/peyk/peyk/api/crds"
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

// The built-in roles gain the right to read what a viewer sees of a release anyway, and nothing else: whoever writes Packs has
// the rights of Peyk.
func TestRoles(t *testing.T) {
	const system = "peyk-system-"
	grants := map[string]map[string][]string{}
	for _, object := range objects(t, everything) {
		if object.GetKind() != "ClusterRole" {
			continue
		}
		role := &rbacv1.ClusterRole{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role); err != nil {
			t.Fatal(err)
		}
		grants[role.Name] = map[string][]string{}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					grants[role.Name][resource+"."+group] = rule.Verbs
				}
			}
		}
		for label := range role.Labels {
			if strings.Contains(label, "aggregate-to") && (role.Name != system+"pack-viewer" || label != "rbac.authorization.k8s.io/aggregate-to-view") {
				t.Errorf("%s has the label %s: the built-in role would gain its rights", role.Name, label)
			}
		}
	}
	read := []string{"get", "list", "watch"}
	write := append(slices.Clone(read), "create", "update", "patch", "delete")
	viewer := map[string][]string{
		"packs.k8s.kubit.ir": read, "packrepositories.k8s.kubit.ir": read, "clusterpackrepositories.k8s.kubit.ir": read,
		"secretreflectors.k8s.kubit.ir": read, "packsyncs.peyk.dev": read, "controllerrevisions.apps": {"get", "list"},
	}
	with := func(base map[string][]string, more map[string][]string) map[string][]string {
		all := maps.Clone(base)
		maps.Copy(all, more)
		return all
	}
	editor := with(viewer, map[string][]string{"packs.k8s.kubit.ir": write, "configs.k8s.kubit.ir": write, "packreviews.render.peyk.dev": {"create"}})
	want := map[string]map[string][]string{
		system + "pack-viewer": viewer,
		system + "pack-editor": editor,
		system + "pack-admin": with(editor, map[string][]string{
			"packrepositories.k8s.kubit.ir": write, "secretreflectors.k8s.kubit.ir": write, "packsyncs.peyk.dev": write,
		}),
	}
	if diff := cmp.Diff(want, grants); diff != "" {
		t.Errorf("the roles differ (-want +got):\n%s", diff)
	}
	// A role that names what the API server does not serve grants nothing.
	served := map[string]bool{"controllerrevisions.apps": true, "packreviews.render.peyk.dev": true}
	definitions, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, definition := range definitions {
		served[definition.GetName()] = true
	}
	for role, resources := range grants {
		for resource := range resources {
			if !served[resource] {
				t.Errorf("%s: there are no %s", role, resource)
			}
		}
	}
}
