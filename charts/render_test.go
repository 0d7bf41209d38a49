// Package charts_test renders the charts as Helm does and looks at what comes out.
package charts_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite golden files and the files that simplepack has from genpack")

const namespace = "base"

// release is what a chart is rendered for.
type release struct {
	chart  string
	name   string
	values map[string]any
	// live are the objects that lookup finds.
	live []runtime.Object
}

// liveObjects answers lookup from a list of objects.
type liveObjects struct{ client dynamic.Interface }

func (l liveObjects) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	if apiVersion != "v1" || kind != "Secret" {
		return nil, false, fmt.Errorf("looking up %s %s: the charts have no need of it", apiVersion, kind)
	}
	return l.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}), true, nil
}

// text renders the release as one stream of YAML documents, ordered by template.
func (r release) text() (string, error) {
	files, err := r.files()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		body := strings.TrimSpace(files[name])
		if filepath.Ext(name) != ".yaml" || body == "" {
			continue
		}
		out.WriteString("---\n" + strings.TrimPrefix(body, "---\n") + "\n")
	}
	return out.String(), nil
}

// files renders the release into what every template makes.
func (r release) files() (map[string]string, error) {
	chart, err := loader.LoadDir(r.chart)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", r.chart, err)
	}
	options := common.ReleaseOptions{Name: r.name, Namespace: namespace, IsInstall: true, Revision: 1}
	values, err := util.ToRenderValues(chart, r.values, options, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	client := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), r.live...)
	return engine.RenderWithClientProvider(chart, values, liveObjects{client})
}

// objects renders the release into objects by "Kind/name".
func (r release) objects(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	text, err := r.text()
	if err != nil {
		t.Fatalf("rendering %s: %v", r.chart, err)
	}
	out := map[string]*unstructured.Unstructured{}
	for _, document := range documents(text) {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("reading a document of %s: %v\n%s", r.chart, err, document)
		}
		id := object.GetKind() + "/" + object.GetName()
		if out[id] != nil {
			t.Fatalf("%s makes %s twice", r.chart, id)
		}
		out[id] = object
	}
	return out
}

func documents(text string) []string {
	var out []string
	for _, document := range strings.Split(text, "\n---\n") {
		if document = strings.TrimSpace(strings.TrimPrefix(document, "---\n")); document != "" {
			out = append(out, document)
		}
	}
	return out
}

// parse reads values from YAML, in the form in which they come out of a Pack.
func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatalf("reading values: %v", err)
	}
	return values
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
