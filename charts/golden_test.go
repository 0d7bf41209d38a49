package charts_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

var charts = []string{"genpack", "simplepack", "postgres", "redis", "redis-ha", "postgresql-ha", "cloudnative-pg", "alerting"}

// customKinds belong to definitions that Kubernetes itself does not have.
var customKinds = map[string]bool{
	"monitoring.coreos.com/v1, Kind=ServiceMonitor":           true,
	"monitoring.coreos.com/v1, Kind=PrometheusRule":           true,
	"cert-manager.io/v1, Kind=Certificate":                    true,
	"monitoring.coreos.com/v1alpha1, Kind=AlertmanagerConfig": true,
	"postgresql.cnpg.io/v1, Kind=Cluster":                     true,
	"postgresql.cnpg.io/v1, Kind=Database":                    true,
	"postgresql.cnpg.io/v1, Kind=ScheduledBackup":             true,
	"example.com/v1, Kind=Gadget":                             true,
}

// TestGolden renders testdata/CHART/CASE/values.yaml as the release CASE. What comes out must be what golden.yaml says,
// and every object must be one that Kubernetes reads without an unknown or doubled field.
func TestGolden(t *testing.T) {
	for _, chart := range charts {
		cases, err := filepath.Glob(filepath.Join("testdata", chart, "*", "values.yaml"))
		if err != nil || len(cases) == 0 {
			t.Fatalf("%s has no case in testdata: %v", chart, err)
		}
		for _, file := range cases {
			dir := filepath.Dir(file)
			t.Run(chart+"/"+filepath.Base(dir), func(t *testing.T) {
				r := release{chart: chart, name: filepath.Base(dir), values: parse(t, read(t, file))}
				text, err := r.text()
				if err != nil {
					t.Fatal(err)
				}
				compare(t, filepath.Join(dir, "golden.yaml"), text)
				for id, object := range r.objects(t) {
					if err := strict(object); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
			})
		}
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(read(t, path), got); diff != "" {
		t.Errorf("%s differs (-want +got); -update rewrites it:\n%s", path, diff)
	}
}

// strict decodes an object into the Kubernetes type of its kind and refuses fields that the type does not have.
func strict(object *unstructured.Unstructured) error {
	if customKinds[object.GroupVersionKind().String()] {
		return nil
	}
	data, err := yaml.Marshal(object.Object)
	if err != nil {
		return err
	}
	options := json.SerializerOptions{Yaml: true, Strict: true}
	_, _, err = json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, options).Decode(data, nil, nil)
	return err
}

func TestLint(t *testing.T) {
	for _, chart := range charts {
		t.Run(chart, func(t *testing.T) {
			for _, message := range lint.RunAll(chart, nil, namespace).Messages {
				if message.Severity >= support.WarningSev {
					t.Error(message)
				}
			}
		})
	}
}

// TestSharedFiles holds that simplepack has the templates and the schema of genpack, byte for byte, and alerting those parts
// of both that it needs.
func TestSharedFiles(t *testing.T) {
	files, err := filepath.Glob("genpack/templates/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("genpack has no templates: %v", err)
	}
	copies, err := filepath.Glob("simplepack/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(copies) != len(files) && !*update {
		t.Errorf("simplepack has %d templates, genpack %d", len(copies), len(files))
	}
	for _, file := range append(files, "genpack/values.schema.json") {
		compare(t, filepath.Join("simplepack", file[len("genpack/"):]), read(t, file))
	}
	for _, name := range []string{"_names.tpl", "_rules.tpl", "_values.tpl"} {
		compare(t, filepath.Join("alerting/templates", name), read(t, filepath.Join("genpack/templates", name)))
	}
	genpack, alerting := loadSchema(t, "genpack"), loadSchema(t, "alerting")
	for _, name := range []string{"scalar", "duration", "ruleTexts", "prometheusRule"} {
		if diff := cmp.Diff(genpack.places["#/$defs/"+name], alerting.places["#/$defs/"+name]); diff != "" {
			t.Errorf("the schema of alerting differs from genpack's in $defs.%s (-genpack +alerting):\n%s", name, diff)
		}
	}
}
