package packs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

const web = `
metadata: {name: web}
spec:
  chart: {name: simplepack, version: ~=0.3.1, repository: {name: kubit-paas}}
  vars: {DOCKER_TAG: one}
  values:
    gonbad:
      workloads:
        main:
          containers:
            main:
              image: {repository: registry.example/web, tag: '{{ vars.DOCKER_TAG }}'}
              ports: {http: {number: 8080}}
      volumes: {main: {enabled: false}}
`

// image returns the image of the only Deployment of a namespace.
func image(t *testing.T, namespace string) string {
	t.Helper()
	var list appsv1.DeploymentList
	check(t, shared.client.List(t.Context(), &list, client.InNamespace(namespace)))
	if len(list.Items) != 1 {
		return ""
	}
	return list.Items[0].Spec.Template.Spec.Containers[0].Image
}

func TestBuiltinRepositories(t *testing.T) {
	start(t)
	for name, want := range map[string]string{"kubit-paas": "3 charts in builtin://kubit-paas", "kubit-packs": "5 charts in builtin://kubit-packs"} {
		eventually(t, name, func() (bool, string) {
			var r packv1.ClusterPackRepository
			if err := shared.client.Get(t.Context(), types.NamespacedName{Name: name}, &r); err != nil {
				return false, err.Error()
			}
			for _, c := range r.Status.Conditions {
				if c.Type == "Ready" && c.Status == "True" && c.Message == want {
					return true, ""
				}
			}
			return false, want
		})
	}
}

// TestPostgresOfTheSeed applies the first Pack that people see, which names neither repository nor version.
func TestPostgresOfTheSeed(t *testing.T) {
	start(t)
	ns := namespace(t, "seed")
	manifest, err := os.ReadFile("../../samples/ping/deploy/postgres.pack.yaml")
	check(t, err)
	obj := until(t, create(t, ns, string(manifest)), "postgres is applied", applied)
	if obj.Status.Repository != "ClusterPackRepository/kubit-paas" || obj.Status.ResolvedVersion == "" || obj.Status.ReleaseRevision != 1 {
		t.Errorf("status is %+v", obj.Status)
	}
	if len(obj.Status.UID) != 9 {
		t.Errorf("uid is %q", obj.Status.UID)
	}
	var set appsv1.StatefulSet
	check(t, shared.client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "postgres"}, &set))
	if set.Labels["peyk.dev/pack-name"] != "postgres" || set.Labels["app.kubernetes.io/managed-by"] != "Helm" || set.Spec.Template.Labels["peyk.dev/pack-name"] != "" {
		t.Errorf("labels are %v, of the pods %v", set.Labels, set.Spec.Template.Labels)
	}
	status, err := json.Marshal(obj.Status)
	check(t, err)
	if strings.Contains(string(status), "password") {
		t.Errorf("the status holds the password: %s", status)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	start(t)
	tests := []struct {
		name   string
		harm   func(*appsv1.Deployment) error
		action string
	}{
		{"changed", func(d *appsv1.Deployment) error {
			d.Spec.Template.Spec.Containers[0].Image = "somebody/elses:image"
			d.ResourceVersion = "" // its controller may have written the status in between
			return shared.client.Update(t.Context(), d)
		}, "configured"},
		{"deleted", func(d *appsv1.Deployment) error { return shared.client.Delete(t.Context(), d) }, "created"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ns := namespace(t, "drift")
			obj := until(t, create(t, ns, web), "applied", applied)
			var before, after appsv1.Deployment
			key := types.NamespacedName{Namespace: ns, Name: "web-main"}
			check(t, shared.client.Get(t.Context(), key, &before))
			check(t, tt.harm(before.DeepCopy()))
			eventually(t, "it is back", func() (bool, string) {
				if err := shared.client.Get(t.Context(), key, &after); err != nil {
					return false, err.Error()
				}
				now := after.Spec.Template.Spec.Containers[0].Image
				return now == "registry.example/web:one" &&
					(after.UID != before.UID || after.Generation > before.Generation), now
			})
			hasEvent(t, obj, "DriftCorrected", "Deployment/"+ns+"/web-main", tt.action)
			if obj = until(t, obj, "applied", applied); obj.Status.ReleaseRevision != 1 {
				t.Errorf("the release is at revision %d: a repair is not an upgrade", obj.Status.ReleaseRevision)
			}
		})
	}
}

// What a chart's author wants people to mend is told by events, though the Pack works.
func TestChartNotes(t *testing.T) {
	start(t)
	obj := until(t, create(t, namespace(t, "notes"), strings.Replace(web, "{DOCKER_TAG: one}", "{DOCKER_TAG: latest}", 1)), "applied", applied)
	hasEvent(t, obj, "ChartNote", "gonbad.workloads.main.containers.main.image.tag: is latest")
}

// TestBadInput breaks a running Pack in every way: each gives one message, what ran goes on, and the repair works.
func TestBadInput(t *testing.T) {
	start(t)
	ns := namespace(t, "bad")
	obj := until(t, create(t, ns, web), "applied", applied)
	set := func(fields string) func(*packv1.Pack) {
		return func(p *packv1.Pack) {
			p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(fields)}
		}
	}
	version := func(v string) *string { return &v }
	tests := []struct {
		name   string
		change func(*packv1.Pack)
		words  []string
	}{
		{"unknown version", func(p *packv1.Pack) { p.Spec.Chart.Version = version("~=9.9.0") }, []string{"spec.chart.version", "satisfies ~=9.9.0", "it has 0.3"}},
		{"illegal constraint", func(p *packv1.Pack) { p.Spec.Chart.Version = version("~=1") }, []string{"spec.chart.version", "two or three numbers"}},
		{"unknown chart", func(p *packv1.Pack) { p.Spec.Chart.Name = "simplepak" }, []string{"spec.chart.name", `"simplepak"`, "simplepack"}},
		{"unknown chart, no repository", func(p *packv1.Pack) { p.Spec.Chart.Name, p.Spec.Chart.Repository = "nope", nil }, []string{"spec.chart", `"nope"`, "postgres, redis, simplepack"}},
		{"unknown repository", func(p *packv1.Pack) { p.Spec.Chart.Repository.Name = "elsewhere" }, []string{"ClusterPackRepository/elsewhere does not exist"}},
		{"undefined var", func(p *packv1.Pack) { p.Spec.Vars = nil }, []string{"spec.values.gonbad.workloads.main.containers.main.image.tag", "var DOCKER_TAG is not defined", "spec.vars"}},
		{"refused by the schema", set(`{"gonbad":{"workloads":{"main":{"containers":{"main":{"image":{"repository":"x","tag":"1"},"ports":{"http":{"number":"many"}}}}}}}}`), []string{"spec.values.gonbad.workloads.main.containers.main.ports.http.number"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			edit(t, obj, tt.change)
			invalid := until(t, obj, "invalid", func(p *packv1.Pack) bool {
				return p.Status.Phase == packv1.PackInvalid && generation(p) == p.Generation
			})
			for _, word := range tt.words {
				if !strings.Contains(invalid.Status.LastError, word) || !strings.Contains(readyMessage(invalid), word) {
					t.Errorf("no %q in %q, ready: %q", word, invalid.Status.LastError, readyMessage(invalid))
				}
			}
			hasEvent(t, invalid, "Invalid", tt.words[0])
			if got := image(t, ns); got != "registry.example/web:one" {
				t.Errorf("what ran is gone: image %q", got)
			}
			if invalid.Status.ReleaseRevision != 1 || invalid.Status.ResolvedVersion == "" {
				t.Errorf("the status forgot what is installed: %+v", invalid.Status)
			}
			edit(t, obj, func(p *packv1.Pack) { p.Spec = obj.Spec })
			mended := until(t, obj, "applied again", applied)
			if mended.Status.LastError != "" || mended.Status.ReleaseRevision != 1 {
				t.Errorf("after the mend: %+v", mended.Status)
			}
		})
	}
}

func TestUninstall(t *testing.T) {
	start(t)
	ns := namespace(t, "gone")
	obj := until(t, create(t, ns, web), "applied", applied)
	check(t, shared.client.Delete(t.Context(), obj))
	eventually(t, "the Pack is gone", func() (bool, string) {
		var p packv1.Pack
		err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), &p)
		return apierrors.IsNotFound(err), string(p.Status.Phase) + " " + readyMessage(&p)
	})
	var secrets corev1.SecretList
	check(t, shared.client.List(t.Context(), &secrets, client.InNamespace(ns)))
	var deployments appsv1.DeploymentList
	check(t, shared.client.List(t.Context(), &deployments, client.InNamespace(ns)))
	var pods corev1.PodList
	check(t, shared.client.List(t.Context(), &pods, client.InNamespace(ns)))
	if n := len(secrets.Items) + len(deployments.Items) + len(pods.Items); n != 0 {
		t.Errorf("%d objects are left", n)
	}
}

// TestRestart stops the controllers, changes things behind their back, and starts them again.
func TestRestart(t *testing.T) {
	first := start(t)
	ns := namespace(t, "restart")
	obj := until(t, create(t, ns, web), "applied", applied)
	first.stop()
	var before appsv1.Deployment
	key := types.NamespacedName{Namespace: ns, Name: "web-main"}
	// The controller of Deployments may write the status in between.
	check(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := shared.client.Get(t.Context(), key, &before); err != nil {
			return err
		}
		before.Spec.Template.Spec.Containers[0].Image = "somebody/elses:image"
		return shared.client.Update(t.Context(), &before)
	}))

	second := start(t)
	eventually(t, "drift during the pause is repaired", func() (bool, string) {
		now := image(t, ns)
		return now == "registry.example/web:one", now
	})
	obj = until(t, obj, "applied", applied)
	if obj.Status.ReleaseRevision != 1 {
		t.Errorf("a restart upgraded the release to revision %d", obj.Status.ReleaseRevision)
	}
	second.stop()
	check(t, shared.client.Get(t.Context(), key, &before))

	// The controller of Deployments writes the status of what was just repaired; only the spec is Peyk's.
	start(t)
	edit(t, obj, func(p *packv1.Pack) {
		p.Annotations = map[string]string{"reconcile.fluxcd.io/requestedAt": "now"}
	})
	until(t, obj, "the request is handled", func(p *packv1.Pack) bool { return p.Status.LastHandledReconcileAt == "now" && applied(p) })
	var after appsv1.Deployment
	check(t, shared.client.Get(t.Context(), key, &after))
	if after.Generation != before.Generation {
		t.Errorf("a restart without a change wrote the Deployment")
	}
}

// TestSamplesAreAccepted sends every sample Pack to the API server.
func TestSamplesAreAccepted(t *testing.T) {
	ns := namespace(t, "samples")
	files, err := filepath.Glob("../../samples/*/deploy/*.pack.yaml")
	check(t, err)
	if len(files) < 3 {
		t.Fatalf("only %d sample Packs were found", len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		check(t, err)
		obj := &packv1.Pack{}
		check(t, unmarshal(data, obj))
		obj.Namespace = ns
		if err := shared.client.Create(t.Context(), obj, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
