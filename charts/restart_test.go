package charts_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// manyWorkloads use the shared settings and the static files in every way.
const manyWorkloads = `
gonbad:
  staticFiles: {app.conf: one, other.conf: one, first.sh: one}
  workloads:
    all: {containers: {main: {image: {repository: app, tag: "1"}}}}
    some: {usedSharedConfigs: [A], usedSharedSecrets: [S], containers: {main: {image: {repository: app, tag: "1"}}}}
    none: {usedSharedConfigs: [], usedSharedSecrets: [], containers: {main: {image: {repository: app, tag: "1"}}}}
    later: {usedSharedConfigs: [NEW], usedSharedSecrets: [NEW], containers: {main: {image: {repository: app, tag: "1"}}}}
    file:
      usedSharedConfigs: []
      usedSharedSecrets: []
      containers: {main: {image: {repository: app, tag: "1"}, fileMounts: [{name: app.conf, mountPath: /app.conf}]}}
      initContainers: {first: {image: {repository: app, tag: "1"}, fileMounts: [{name: first.sh, mountPath: /first.sh, executable: true}]}}
    nightly: {kind: cronjob, schedule: "@daily", usedSharedConfigs: [A], usedSharedSecrets: [], containers: {main: {image: {repository: app, tag: "1"}}}}
global:
  sharedConfigs: {A: one, B: one}
  sharedSecrets: {S: one, T: one}
`

// TestSharedSettingsRestart holds that a change of a shared setting or a static file rolls exactly the workloads that use
// it: those that name the key, and those that name none and so use all.
func TestSharedSettingsRestart(t *testing.T) {
	for _, c := range []struct{ name, from, to, rolls string }{
		{"named config", "{A: one, B: one}", "{A: two, B: one}", "all some nightly"},
		{"other config", "{A: one, B: one}", "{A: one, B: two}", "all"},
		{"named secret", "{S: one, T: one}", "{S: two, T: one}", "all some"},
		{"other secret", "{S: one, T: one}", "{S: one, T: two}", "all"},
		{"new config", "{A: one, B: one}", "{A: one, B: one, NEW: one}", "all later"},
		{"new secret", "{S: one, T: one}", "{S: one, T: one, NEW: one}", "all later"},
		{"config gone", "{A: one, B: one}", "{B: one}", "all some nightly"},
		{"order of keys", "{A: one, B: one}", "{B: one, A: one}", ""},
		{"number as text", "{A: one, B: one}", "{A: one, B: 'one'}", ""},
		{"mounted file", "app.conf: one,", "app.conf: two,", "file"},
		{"file of an init container", "first.sh: one", "first.sh: two", "file"},
		{"file that none mounts", "other.conf: one", "other.conf: two", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(manyWorkloads, c.from, c.to, 1)
			if changed == manyWorkloads {
				t.Fatalf("there is no %q", c.from)
			}
			before, after := podTemplates(t, manyWorkloads), podTemplates(t, changed)
			rolls := strings.Fields(c.rolls)
			for _, workload := range []string{"all", "some", "none", "later", "file", "nightly"} {
				want := false
				for _, name := range rolls {
					want = want || name == workload
				}
				if diff := cmp.Diff(before[workload], after[workload]); (diff != "") != want {
					t.Errorf("%s rolls: want %v, difference of the pod template:\n%s", workload, want, diff)
				}
			}
		})
	}
}

// podTemplates renders values for genpack and returns the pod template of every workload by its key.
func podTemplates(t *testing.T, values string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, object := range (release{chart: "genpack", name: "app", values: parse(t, values)}).objects(t) {
		path := []string{"spec", "template"}
		if object.GetKind() == "CronJob" {
			path = []string{"spec", "jobTemplate", "spec", "template"}
		}
		template, found, err := unstructured.NestedMap(object.Object, path...)
		if err != nil {
			t.Fatal(err)
		}
		if found {
			out[strings.TrimPrefix(object.GetName(), "app-")] = template
		}
	}
	if len(out) == 0 {
		t.Fatal("there are no workloads")
	}
	return out
}

// TestVersionRestartsNothing holds that a new version of the chart alone leaves the pods where they are: their templates
// do not have it.
func TestVersionRestartsNothing(t *testing.T) {
	for key, template := range podTemplates(t, manyWorkloads) {
		if labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels"); labels["helm.sh/chart"] != "" {
			t.Errorf("the pods of %s carry %s", key, labels["helm.sh/chart"])
		}
	}
}
