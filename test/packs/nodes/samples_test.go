package nodes_test

import (
	"cmp"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/testkit"
)

// sample is a file of the reference and what is done with it. It has one of pack, test, elsewhere and reason.
type sample struct {
	file string
	// pack is the Pack that the file makes, as namespace/name; one word is both.
	pack string
	// chart is the chart of bare values; genpack by default.
	chart string
	// stays says that the next row upgrades the Pack.
	stays bool
	// golden is the folder below charts/testdata with what must be in the cluster; by default it is the file of the sample's name
	// in charts/testdata/samples. "none": the chart makes up a password, or the case has other values.
	golden string
	// needs are objects that the sample refers to and does not bring along; before makes what is more than that.
	needs  string
	before func(t *testing.T)
	// then looks at what runs.
	then func(t *testing.T, namespace, name string)

	// test of this package that has the file.
	test func(t *testing.T)
	// elsewhere is a test of another package, as file:name, and copied the file there that has the sample's lines.
	elsewhere, copied string
	// reason why there is nothing to try.
	reason string
}

var samples = []sample{
	{file: "genpack/cronjob.values.yaml", pack: "cronjob", then: cronJobRuns},
	{file: "genpack/env.values.yaml", pack: "env", needs: `
{apiVersion: v1, kind: ConfigMap, metadata: {name: app-configmap}, data: {sentry-dsn: "https://key@sentry.example.com/1"}}
---
{apiVersion: v1, kind: Secret, metadata: {name: postgresql}, stringData: {password: password}}
`},
	{file: "genpack/envfrom.values.yaml", pack: "envfrom", needs: `
{apiVersion: v1, kind: Secret, metadata: {name: postgres-secret}, stringData: {POSTGRES_PASSWORD: password}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: deploy-configmap}, data: {STAGE: test}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: django-configmap}, data: {DEBUG: "0"}}
`},
	{file: "genpack/external-service.values.yaml", pack: "external-service-sample"},
	{file: "genpack/global.values.yaml", pack: "global"},
	{file: "genpack/hello-world.values.yaml", pack: "hello-world-sample"},
	{file: "genpack/ingress-paths.values.yaml", pack: "ingress-paths"},
	{file: "genpack/nodeport.values.yaml", pack: "nodeport-sample"},
	{file: "genpack/statefulset.values.yaml", pack: "statefulset"},
	{file: "genpack/staticfiles.values.yaml", pack: "staticfiles"},
	{file: "genpack/volume.values.yaml", pack: "volume-sample", needs: `
{apiVersion: v1, kind: ConfigMap, metadata: {name: nginx-configs}, data: {nginx.conf: ""}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: pvc-fullname}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
`},
	{file: "genpack/zabbix.values.yaml", pack: "zabbix"},

	{file: "seed/postgres.pack.yaml", pack: "base/postgres", golden: "postgres/postgres", then: postgresAnswers("postgres-0")},
	// One Pack, upgraded from each to the next.
	{file: "seed/sample-app.pack.yaml", pack: "base/sample-app", stays: true},
	{file: "extra/sample-app-vars.pack.yaml", pack: "base/sample-app", stays: true},
	{file: "seed/sample-app.fragment.yaml", pack: "base/sample-app"},
	{file: "extra/django-vars.pack.yaml", pack: "samples/sample-django-app"},
	{file: "extra/postgres-panel.pack.yaml", pack: "new-ns/postgres-uiux", golden: "none", then: postgresAnswers("postgres-uiux-0")},
	{file: "extra/redis-ha.pack.yaml", pack: "test-ns/test-redis", golden: "none", then: redisAnswers},
	{file: "extra/alerting.values.yaml", chart: "alerting", pack: "alerting"},
	{
		file: "extra/postgresql-ha-vars-backup.pack.yaml", pack: "new-test-ns/test", golden: "postgresql-ha/test",
		before: installOperator, then: threeServersAnswer,
	},

	{file: "extra/postgresql-ha-vault.pack.yaml", test: TestSampleWithDamagedTexts},
	{file: "extra/pack-skeleton.yaml", test: TestSampleSkeletonIsRefused},
	{file: "extra/watch-to-redeploy.configmap.yaml", test: TestSampleRedeploys},
	{file: "extra/watch-to-redeploy.deployment.yaml", test: TestSampleRedeploys},
	{file: "extra/watch-to-redeploy.genpack.pack.yaml", test: TestSampleRedeploys},
	{file: "seed/gitlab-ci.build-only.yml", test: TestSamplePipelines},
	{file: "seed/gitlab-ci.full.yml", test: TestSamplePipelines},
	{file: "seed/sample_app/Dockerfile", test: TestSamplePipelines},
	{file: "seed/sample_app/app.py", test: TestSampleApp},
	{file: "seed/sample_app/requirements.txt", test: TestSampleApp},
	{file: "ci/gitlab-panel-template.yml", test: TestSamplePipelines},
	{file: "ci/gitlab-webhook-job.yml", test: TestSamplePipelines},

	{file: "ci/curl-forms.sh", elsewhere: "test/webhook/forms_test.go:TestForms", copied: "test/webhook/testdata/curl-forms.sh"},
	{file: "extra/vault.txt", elsewhere: "internal/vault/text_test.go:TestSamplesAreRead", copied: "internal/vault/text_test.go"},
	{file: "extra/vault-vector.json", elsewhere: "internal/vault/text_test.go:TestVector", copied: "internal/vault/testdata/vector.json"},

	{file: "README.md", reason: "says what the others are"},
}

// TestSamples applies every sample that is a Pack, or is the values of one.
func TestSamples(t *testing.T) {
	dir := testkit.Samples(t)
	needImages(t)
	needDefinitions(t)
	needStorageClasses(t)
	for _, s := range samples {
		if s.pack == "" {
			continue
		}
		t.Run(s.file, func(t *testing.T) { s.try(t, dir) })
	}
}

// try applies the sample, waits until its pods run, and compares.
func (s sample) try(t *testing.T, dir string) {
	if s.before != nil {
		s.before(t)
	}
	pack := newPack(s.pack)
	needNamespace(t, pack.Namespace)
	applyText(t, pack.Namespace, s.needs)
	if !s.stays {
		defer remove(t, pack)
	}
	applyFile(t, s.manifest(t, dir))
	ready(t, pack)
	running(t, pack.Namespace)
	if s.golden != "none" {
		file := filepath.Join("samples", strings.TrimSuffix(strings.TrimSuffix(filepath.Base(s.file), ".yaml"), ".values")+".golden.yaml")
		if s.golden != "" {
			file = filepath.Join(s.golden, "golden.yaml")
		}
		asGolden(t, pack, file)
	}
	if s.then != nil {
		s.then(t, pack.Namespace, pack.Name)
	}
}

// manifest returns the file that is applied: the sample itself when it holds a whole Pack, else a Pack around its text.
func (s sample) manifest(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, s.file)
	text := readFile(t, path)
	if strings.Contains(text, "\nkind: Pack\n") {
		return path
	}
	pack := newPack(s.pack)
	head := "apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: " + pack.Name + ", namespace: " + pack.Namespace + "}\n"
	if !strings.HasPrefix(text, "spec:") {
		head += "spec:\n  chart: {name: " + cmp.Or(s.chart, "genpack") + ", repository: {name: kubit-packs}}\n  values:\n"
		text = "    " + strings.ReplaceAll(text, "\n", "\n    ")
	}
	made := filepath.Join(t.TempDir(), "pack.yaml")
	check(t, os.WriteFile(made, []byte(head+text), 0o600))
	return made
}

// TestSamplesAreAll holds that every file of the samples has a row, and that what a row says of other tests is true.
func TestSamplesAreAll(t *testing.T) {
	dir := testkit.Samples(t)
	files := map[string]bool{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[name] = true
		return err
	}))
	for _, s := range samples {
		if !files[s.file] {
			t.Errorf("%s is not among the samples, or has two rows", s.file)
			continue
		}
		delete(files, s.file)
		said := 0
		for _, is := range []bool{s.pack != "", s.test != nil, s.elsewhere != "", s.reason != ""} {
			if is {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%s: the row must say one of pack, test, elsewhere and reason, and says %d", s.file, said)
		}
		if s.elsewhere != "" {
			s.isElsewhere(t, dir)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		t.Errorf("%s is not tried by any test: give it a row", file)
	}
}

// isElsewhere checks that the other test is there, and has the lines of the sample. A note in the sample is not part of it.
func (s sample) isElsewhere(t *testing.T, dir string) {
	t.Helper()
	file, name, _ := strings.Cut(s.elsewhere, ":")
	if !strings.Contains(readFile(t, filepath.Join(cluster.root, file)), "\nfunc "+name+"(t *testing.T)") {
		t.Errorf("%s: there is no test %s", s.file, s.elsewhere)
	}
	copied := readFile(t, filepath.Join(cluster.root, s.copied))
	for line := range strings.Lines(readFile(t, filepath.Join(dir, s.file))) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, `"note"`) && !strings.Contains(copied, line) {
			t.Errorf("%s: %s has not its line %q", s.file, s.copied, line)
		}
	}
}
