package helmrelease

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

const schemaOfText = `{"type": "object", "properties": {"text": {"type": "string"}}}`

// TestBadInput has mistakes that people make: each is named on the status, with its field and its mend, and is not tried
// again and again in a hurry.
func TestBadInput(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	check(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named(ns, "given"), Data: map[string]string{
		"values.yaml": "text: one", "text": "just text", "list": "[a, b]", "broken": "a: [", "open": "a[b",
	}}))
	from := func(ref meta.ValuesReference) func(*v2.HelmReleaseSpec) {
		ref.Kind, ref.Name = "ConfigMap", "given"
		return func(s *v2.HelmReleaseSpec) { s.ValuesFrom = []meta.ValuesReference{ref} }
	}
	raw := func(text string) func(*v2.HelmReleaseSpec) {
		return func(s *v2.HelmReleaseSpec) { s.Values = &apiextensionsv1.JSON{Raw: []byte(text)} }
	}
	good := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate})
	for name, c := range map[string]struct {
		files   map[string]string // of the chart, beside the usual ones
		change  func(*v2.HelmReleaseSpec)
		stalled bool
		reason  string
		says    []string
	}{
		"values-are-text":      {change: raw(`"text"`), stalled: true, reason: "InvalidSpec", says: []string{"spec.values: must be a map, is text"}},
		"values-are-a-list":    {change: raw(`["text"]`), stalled: true, reason: "InvalidSpec", says: []string{"spec.values: must be a map, is a list"}},
		"values-from-text":     {change: from(meta.ValuesReference{ValuesKey: "text"}), reason: "ValuesError", says: []string{"spec.valuesFrom[0]", "with key 'text'", "it is not a map of values in YAML", "targetPath"}},
		"values-from-a-list":   {change: from(meta.ValuesReference{ValuesKey: "list"}), reason: "ValuesError", says: []string{"spec.valuesFrom[0]", "with key 'list'", "it is not a map of values in YAML"}},
		"values-from-bad-yaml": {change: from(meta.ValuesReference{ValuesKey: "broken"}), reason: "ValuesError", says: []string{"spec.valuesFrom[0]", "with key 'broken'"}},
		"values-from-no-key":   {change: from(meta.ValuesReference{ValuesKey: "no"}), reason: "ValuesError", says: []string{"spec.valuesFrom[0]", "with key 'no': key not found: add it, or set optional"}},
		"target-path":          {change: from(meta.ValuesReference{ValuesKey: "text", TargetPath: "a[99999]"}), reason: "ValuesError", says: []string{"spec.valuesFrom[0]", "targetPath: check its syntax"}},
		"template-syntax":      {files: map[string]string{"templates/bad.yaml": "{{ if }}"}, reason: "InstallFailed", says: []string{"templates/bad.yaml:1", "missing value for if"}},
		"template-yaml":        {files: map[string]string{"templates/bad.yaml": "a: b: c"}, reason: "InstallFailed", says: []string{"templates/bad.yaml"}},
		"template-fails":       {files: map[string]string{"templates/bad.yaml": `{{ fail "set text" }}`}, reason: "InstallFailed", says: []string{"templates/bad.yaml:1", "set text"}},
		"schema":               {files: map[string]string{"values.schema.json": schemaOfText}, change: raw(`{"text": 5}`), reason: "InstallFailed", says: []string{"chart web-1.0.0 refuses the values: spec.values.text: must be string, is number"}},
		"schema-is-broken":     {files: map[string]string{"values.schema.json": "{"}, reason: "InstallFailed", says: []string{"values.schema.json"}},
		"no-such-kind":         {files: map[string]string{"templates/bad.yaml": "apiVersion: none.peyk.dev/v1\nkind: None\nmetadata: {name: none}\n"}, reason: "InstallFailed", says: []string{`no matches for kind "None" in version "none.peyk.dev/v1"`}},
		"target-namespace":     {change: func(s *v2.HelmReleaseSpec) { s.TargetNamespace = "not-there" }, stalled: true, reason: "InstallFailed", says: []string{`namespaces "not-there" not found`, "spec.install.createNamespace"}},
		"storage-namespace":    {change: func(s *v2.HelmReleaseSpec) { s.StorageNamespace = "not-there" }, reason: "InstallFailed", says: []string{`namespaces "not-there" not found`, "spec.storageNamespace"}},
		"drift-target": {change: func(s *v2.HelmReleaseSpec) {
			s.DriftDetection = &v2.DriftDetection{Mode: v2.DriftDetectionWarn, Ignore: []v2.IgnoreRule{{Paths: []string{"/a"}, Target: &kustomize.Selector{Kind: "("}}}}
		}, stalled: true, reason: "InvalidSpec", says: []string{"spec.driftDetection.ignore[0].target.kind: "}},
		"drift-labels": {change: func(s *v2.HelmReleaseSpec) {
			s.DriftDetection = &v2.DriftDetection{Mode: v2.DriftDetectionWarn, Ignore: []v2.IgnoreRule{{Paths: []string{"/a"}, Target: &kustomize.Selector{LabelSelector: "a in"}}}}
		}, stalled: true, reason: "InvalidSpec", says: []string{"spec.driftDetection.ignore[0].target.labelSelector: "}},
		"post-renderer": {change: func(s *v2.HelmReleaseSpec) {
			s.PostRenderers = []v2.PostRenderer{{Kustomize: &v2.Kustomize{Patches: []kustomize.Patch{{Patch: "kind: None"}}}}}
		}, reason: "InstallFailed", says: []string{"spec.postRenderers[0].kustomize: "}},
		"cloud": {change: func(s *v2.HelmReleaseSpec) {
			s.KubeConfig = &meta.KubeConfigReference{ConfigMapRef: &meta.LocalObjectReference{Name: "given"}}
		}, stalled: true, reason: "InvalidSpec", says: []string{"spec.kubeConfig.configMapRef: ", "use spec.kubeConfig.secretRef"}},
		"itself": {change: func(s *v2.HelmReleaseSpec) { s.DependsOn = []v2.DependencyReference{{Name: "itself"}} }, stalled: true, reason: "InvalidSpec", says: []string{"spec.dependsOn"}},
	} {
		files := map[string]string{}
		for _, more := range []map[string]string{good, c.files} {
			for file, text := range more {
				files[file] = text
			}
		}
		p.publish(t, ns, name, files)
		key := release(t, ns, name, c.change)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := until(t, key, "Ready", "False", c.reason)
			for _, part := range c.says {
				if got := message(obj, "Ready"); !strings.Contains(got, part) {
					t.Errorf("Ready says %q, want %q in it", got, part)
				}
			}
			if got := message(obj, "Stalled") != ""; got != c.stalled {
				t.Errorf("stalled: %t, want %t", got, c.stalled)
			}
			quiet(t, key)
		})
	}
}

// quiet fails when a HelmRelease is tried more than a few times, or written, in a few seconds.
func quiet(t *testing.T, key client.ObjectKey) {
	t.Helper()
	const window = 4 * time.Second
	before := get(t, key)
	end := time.Now().Add(window)
	for time.Now().Before(end) {
		time.Sleep(window / 8)
		if now := get(t, key); now.Status.Failures > before.Status.Failures+3 {
			t.Fatalf("it was tried %d times in %s", now.Status.Failures-before.Status.Failures, window)
		}
	}
}

func TestCircleOfDependencies(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	keys := map[string]client.ObjectKey{}
	for name, needs := range map[string]string{"a": "b", "b": "c", "c": "a"} {
		p.publish(t, ns, name, web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
		keys[name] = release(t, ns, name, func(s *v2.HelmReleaseSpec) { s.DependsOn = []v2.DependencyReference{{Name: needs}} })
	}
	eventually(t, "the circle is to be told", func() error {
		for name, key := range keys {
			obj := get(t, key)
			want := fmt.Sprintf("spec.dependsOn goes in a circle: %s/%s > ", ns, name)
			if got := message(obj, "Stalled"); strings.HasPrefix(got, want) && strings.Contains(got, " > "+ns+"/"+name+"; ") {
				return nil
			}
		}
		return fmt.Errorf("none of them tells: %+v", get(t, keys["a"]).Status)
	})
	for _, key := range keys {
		update(t, key, func(obj *v2.HelmRelease) { obj.Spec.DependsOn = nil })
	}
	for _, key := range keys {
		ready(t, key, v2.InstallSucceededReason)
	}
}
