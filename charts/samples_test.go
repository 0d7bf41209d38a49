package charts_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/testkit"
)

// samples are the releases that the reference shows for genpack, simplepack and alerting.
var samples = []struct{ file, chart, release string }{
	{"genpack/cronjob.values.yaml", "genpack", "cronjob"},
	{"genpack/env.values.yaml", "genpack", "env"},
	{"genpack/envfrom.values.yaml", "genpack", "envfrom"},
	{"genpack/external-service.values.yaml", "genpack", "external-service-sample"},
	{"genpack/global.values.yaml", "genpack", "global"},
	{"genpack/hello-world.values.yaml", "genpack", "hello-world-sample"},
	{"genpack/ingress-paths.values.yaml", "genpack", "ingress-paths"},
	{"genpack/nodeport.values.yaml", "genpack", "nodeport-sample"},
	{"genpack/statefulset.values.yaml", "genpack", "statefulset"},
	{"genpack/staticfiles.values.yaml", "genpack", "staticfiles"},
	{"genpack/volume.values.yaml", "genpack", "volume-sample"},
	{"genpack/zabbix.values.yaml", "genpack", "zabbix"},
	{"extra/django-vars.pack.yaml", "genpack", "sample-django-app"},
	{"extra/watch-to-redeploy.genpack.pack.yaml", "genpack", "test"},
	{"extra/sample-app-vars.pack.yaml", "simplepack", "sample-app"},
	{"seed/sample-app.fragment.yaml", "simplepack", "sample-app"},
	{"seed/sample-app.pack.yaml", "simplepack", "sample-app"},
	{"extra/alerting.values.yaml", "alerting", "alerting"},
}

// variable is {{ vars.NAME }}, credential the password of an address; those of the samples are not copied into goldens.
var (
	variable   = regexp.MustCompile(`\{\{ *vars\.([A-Z_]+) *\}\}`)
	credential = regexp.MustCompile(`(://[a-z]*:?)[^@/\s]+@`)
)

// sampleValues reads a sample: bare values, or a Pack with its vars put in.
func sampleValues(t *testing.T, file string) map[string]any {
	t.Helper()
	text := read(t, filepath.Join(testkit.Samples(t), file))
	pack := parse(t, text)
	spec, found, err := unstructured.NestedMap(pack, "spec")
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return pack
	}
	vars, _, err := unstructured.NestedStringMap(spec, "vars")
	if err != nil {
		t.Fatal(err)
	}
	filled := parse(t, variable.ReplaceAllStringFunc(text, func(match string) string {
		return vars[variable.FindStringSubmatch(match)[1]]
	}))
	values, _, err := unstructured.NestedMap(filled, "spec", "values")
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestSamples renders the samples of the reference as they are and compares with testdata/samples.
func TestSamples(t *testing.T) {
	for _, sample := range samples {
		t.Run(sample.file, func(t *testing.T) {
			r := release{chart: sample.chart, name: sample.release, values: sampleValues(t, sample.file)}
			text, err := r.text()
			if err != nil {
				t.Fatal(err)
			}
			compare(t, sampleGolden(sample.file), credential.ReplaceAllString(text, "${1}CREDENTIAL@"))
			for id, object := range r.objects(t) {
				if err := strict(object); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
}

func sampleGolden(file string) string {
	return filepath.Join("testdata/samples", strings.TrimSuffix(strings.TrimSuffix(filepath.Base(file), ".yaml"), ".values")+".golden.yaml")
}

// TestSamplesAreAll holds that no sample of genpack is left out, and that no golden is left over.
func TestSamplesAreAll(t *testing.T) {
	listed, goldens := map[string]bool{}, map[string]bool{}
	for _, sample := range samples {
		listed[sample.file] = true
		goldens[sampleGolden(sample.file)] = true
	}
	files, err := filepath.Glob(filepath.Join(testkit.Samples(t), "genpack", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no samples of genpack: %v", err)
	}
	for _, file := range files {
		if !listed["genpack/"+filepath.Base(file)] {
			t.Errorf("%s is not rendered by any test", file)
		}
	}
	found, err := filepath.Glob("testdata/samples/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if !goldens[file] {
			t.Errorf("%s belongs to no sample", file)
		}
	}
}

// TestSampleObjects holds what the reference says of each sample: the objects that it makes, no more and no fewer.
func TestSampleObjects(t *testing.T) {
	want := map[string][]string{
		"genpack/cronjob.values.yaml":          {"CronJob/cronjob-baz"},
		"genpack/env.values.yaml":              {"Deployment/env-web"},
		"genpack/envfrom.values.yaml":          {"Deployment/envfrom-web"},
		"genpack/external-service.values.yaml": {"EndpointSlice/external-service-sample-kuma-ipv4", "Endpoints/external-service-sample-kuma", "Service/external-service-sample-kuma", "ServiceMonitor/external-service-sample-kuma"},
		"genpack/global.values.yaml":           {"ConfigMap/global-shared", "Secret/global-shared"},
		"genpack/hello-world.values.yaml":      {"Deployment/hello-world-sample-web", "Ingress/hello-world-sample-web", "Service/hello-world-sample-web", "ServiceMonitor/hello-world-sample-web"},
		"genpack/ingress-paths.values.yaml":    {"Deployment/ingress-paths-media", "Deployment/ingress-paths-web", "Ingress/ingress-paths-media", "Ingress/ingress-paths-web", "Service/ingress-paths-media", "Service/ingress-paths-web"},
		"genpack/nodeport.values.yaml":         {"Deployment/nodeport-sample-coredns", "Deployment/nodeport-sample-nginx", "Service/nodeport-sample-coredns", "Service/nodeport-sample-nginx"},
		"genpack/statefulset.values.yaml":      {"StatefulSet/statefulset-rex"},
		"genpack/staticfiles.values.yaml":      {"ConfigMap/staticfiles-static-files"},
		"genpack/volume.values.yaml":           {"Deployment/volume-sample-web", "Ingress/volume-sample-web", "PersistentVolumeClaim/volume-sample-www-vol", "Service/volume-sample-web"},
		"genpack/zabbix.values.yaml":           {"Deployment/zabbix-server", "Deployment/zabbix-web", "Ingress/zabbix-web", "Service/zabbix-server", "Service/zabbix-web", "ServiceMonitor/zabbix-web"},

		"extra/django-vars.pack.yaml":               {"Deployment/sample-django-app-web"},
		"extra/watch-to-redeploy.genpack.pack.yaml": {"Deployment/test-web", "Deployment/test-worker"},
		"extra/sample-app-vars.pack.yaml":           {"Deployment/sample-app-main", "Service/sample-app-main"},
		"seed/sample-app.fragment.yaml":             {"Deployment/sample-app-main", "PersistentVolumeClaim/sample-app-main", "Service/sample-app-main"},
		"extra/alerting.values.yaml":                {"AlertmanagerConfig/alerting"},
		"seed/sample-app.pack.yaml":                 {"ConfigMap/sample-app-shared", "Deployment/sample-app-main", "Ingress/sample-app-main", "Service/sample-app-main"},
	}
	for _, sample := range samples {
		objects := release{chart: sample.chart, name: sample.release, values: sampleValues(t, sample.file)}.objects(t)
		if got := slices.Sorted(maps.Keys(objects)); !slices.Equal(got, want[sample.file]) {
			t.Errorf("%s makes %v, want %v", sample.file, got, want[sample.file])
		}
	}
}
