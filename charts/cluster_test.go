package charts_test

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/testkit"
)

// cluster is a real API server that knows the custom kinds which the charts use.
type cluster struct {
	client   dynamic.Interface
	mapper   meta.RESTMapper
	warnings *warnings
}

// warnings are what the API server says beside its answer. Pod security is one of its speakers.
type warnings struct {
	lock sync.Mutex
	said []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.said = append(w.said, text)
}

// security returns what was said about pod security, and forgets everything.
func (w *warnings) security() []string {
	w.lock.Lock()
	defer w.lock.Unlock()
	var out []string
	for _, text := range w.said {
		if strings.Contains(text, "PodSecurity") {
			out = append(out, text)
		}
	}
	w.said = nil
	return out
}

// startCluster starts an API server with the namespaces that the cases name, and two that warn of pods which break a
// Pod Security Standard.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	plane, err := testkit.StartControlPlane()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Errorf("stopping the control plane: %v", err)
		}
	})
	said := &warnings{}
	config := rest.CopyConfig(plane.Config)
	config.QPS = -1
	config.WarningHandler = said
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for name, labels := range map[string]map[string]string{
		namespace: nil, "monitoring": nil,
		"baseline":   {"pod-security.kubernetes.io/warn": "baseline"},
		"restricted": {"pod-security.kubernetes.io/warn": "restricted"},
	} {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if _, err := core.CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	define(t, client)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(core.Discovery()))
	return &cluster{client: client, mapper: mapper, warnings: said}
}

// define creates the definitions that the charts need, and waits until they are served.
func define(t *testing.T, client dynamic.Interface) {
	t.Helper()
	var files []string
	for _, folder := range []string{"testdata/crds", "cloudnative-pg/files/crds"} {
		found, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s has no definitions: %v", folder, err)
		}
		files = append(files, found...)
	}
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	var defined []schema.GroupVersionResource
	for _, file := range files {
		for _, document := range documents(read(t, file)) {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if _, err := client.Resource(resource).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			plural, group, _ := strings.Cut(object.GetName(), ".")
			versions, _, err := unstructured.NestedSlice(object.Object, "spec", "versions")
			if err != nil || len(versions) == 0 {
				t.Fatalf("%s: %s has no versions: %v", file, object.GetName(), err)
			}
			version, _, err := unstructured.NestedString(versions[0].(map[string]any), "name")
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			defined = append(defined, schema.GroupVersionResource{Group: group, Version: version, Resource: plural})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, kind := range defined {
		for !served(ctx, client, kind) {
			select {
			case <-ctx.Done():
				t.Fatalf("%s is not served", kind)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

func served(ctx context.Context, client dynamic.Interface, kind schema.GroupVersionResource) bool {
	_, err := client.Resource(kind).List(ctx, metav1.ListOptions{})
	return err == nil
}

// accept asks the API server whether it would take an object, with every field known to it.
func (c *cluster) accept(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	body, err := object.MarshalJSON()
	if err != nil {
		return fmt.Errorf("writing %s: %w", object.GetName(), err)
	}
	var client dynamic.ResourceInterface = c.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		// A raw resource may leave its namespace to Helm.
		client = c.client.Resource(mapping.Resource).Namespace(cmp.Or(object.GetNamespace(), namespace))
	}
	_, err = client.Patch(ctx, object.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{
		FieldManager: "charts", FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}, Force: new(true),
	})
	return err
}

// everyRelease are the golden cases of all charts by their names.
func everyRelease(t *testing.T) map[string]release {
	t.Helper()
	out := map[string]release{}
	for _, chart := range charts {
		cases, err := filepath.Glob(filepath.Join("testdata", chart, "*", "values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range cases {
			name := filepath.Base(filepath.Dir(file))
			out[chart+"/"+name] = release{chart: chart, name: name, values: parse(t, read(t, file))}
		}
	}
	return out
}

// TestAccepted holds that a real API server takes every object of every case, without an unknown field; and that pods
// which ask for nothing special meet the baseline Pod Security Standard.
func TestAccepted(t *testing.T) {
	c := startCluster(t)
	t.Run("cases", func(t *testing.T) {
		for name, r := range everyRelease(t) {
			for id, object := range r.objects(t) {
				if err := c.accept(t.Context(), object); err != nil {
					t.Errorf("%s: %s: %v", name, id, err)
				}
			}
		}
	})
	t.Run("samples", func(t *testing.T) {
		for _, sample := range samples {
			r := release{chart: sample.chart, name: sample.release, values: sampleValues(t, sample.file)}
			for id, object := range r.objects(t) {
				object.SetNamespace("baseline")
				c.warnings.security()
				if err := c.accept(t.Context(), object); err != nil {
					t.Errorf("%s: %s: %v", sample.file, id, err)
				}
				for _, text := range c.warnings.security() {
					t.Errorf("%s: %s: %s", sample.file, id, text)
				}
			}
		}
	})
	t.Run("restricted", func(t *testing.T) { restricted(t, c) })
	t.Run("refused", func(t *testing.T) { refusesUnknown(t, c) })
}

// restricted holds that one word, runAsNonRoot or a user, makes pods of every kind meet the restricted standard, and that
// pods which leave it out do not, so that the check is known to speak.
func restricted(t *testing.T, c *cluster) {
	const pods = `
gonbad:
  staticFiles: {a: b}
  volumes: {scratch: {type: emptyDir}, data: {type: persistentVolumeClaim, size: 1Gi, accessMode: ReadWriteOnce}}
  workloads:
    web: &web
      kind: deployment
      securityContext: SECURITY
      containers:
        web:
          image: {repository: app, tag: "1"}
          ports: {80: http}
          fileMounts: [{name: a, mountPath: /a}]
          volumeMounts: [{name: scratch, mountPath: /scratch}, {name: data, mountPath: /data}]
        side: {image: {repository: side, tag: "1"}, securityContext: {readOnlyRootFilesystem: true}}
      initContainers: {first: {image: {repository: app, tag: "1"}}}
    set: {<<: *web, kind: statefulset}
    agent: {<<: *web, kind: daemonset}
    job: {<<: *web, kind: cronjob, schedule: "@daily"}
    one: {kind: simple, securityContext: SECURITY, image: {repository: app, tag: "1"}}
`
	for security, want := range map[string]bool{"{runAsNonRoot: true}": true, "{runAsUser: 1000}": true, "{}": false} {
		r := release{chart: "genpack", name: "app", values: parse(t, strings.ReplaceAll(pods, "SECURITY", security))}
		for id, object := range r.objects(t) {
			object.SetNamespace("restricted")
			c.warnings.security()
			if err := c.accept(t.Context(), object); err != nil {
				t.Errorf("%s: %s: %v", security, id, err)
			}
			said := c.warnings.security()
			_, hasPods, _ := unstructured.NestedMap(object.Object, "spec", "template")
			if object.GetKind() == "CronJob" {
				hasPods = true
			}
			if hasPods && (len(said) == 0) != want {
				t.Errorf("%s: %s: meets the restricted standard: want %v; the server says %v", security, id, want, said)
			}
		}
	}
}

// refusesUnknown holds that the check of this file can fail, for the cluster's own kinds and for the custom ones.
func refusesUnknown(t *testing.T, c *cluster) {
	for _, text := range []string{
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: base}, dato: {}}",
		"{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: a, namespace: base}, spec: {selector: {}, endpoints: [{intervall: 5s}]}}",
		"{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: a, namespace: base}, spec: {groups: [{name: a, interval: 5 s}]}}",
		"{apiVersion: monitoring.coreos.com/v1alpha1, kind: AlertmanagerConfig, metadata: {name: a, namespace: base}, spec: {receivers: [{name: a, webhookConfigs: [{uri: a}]}]}}",
		"{apiVersion: monitoring.coreos.com/v1alpha1, kind: AlertmanagerConfig, metadata: {name: a, namespace: base}, spec: {route: {routes: [{groupWait: 5 s}]}}}",
		"{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: a, namespace: base}, spec: {secretName: a}}",
	} {
		if err := c.accept(t.Context(), &unstructured.Unstructured{Object: parse(t, text)}); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}
