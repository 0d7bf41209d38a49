package helmrelease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/tenancy"
)

func gone(t *testing.T, obj client.Object) {
	t.Helper()
	eventually(t, fmt.Sprintf("%T %s is to go", obj, obj.GetName()), func() error {
		err := api.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errStill
	})
}

func TestChartOfATemplate(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.ChartRef = nil
		s.Chart = &v2.HelmChartTemplate{
			ObjectMeta: &v2.HelmChartTemplateObjectMeta{Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "n"}},
			Spec: v2.HelmChartTemplateSpec{
				Chart: "web", Version: "1.x", ValuesFiles: []string{"values.yaml"}, IgnoreMissingValuesFiles: true,
				Interval: within(7 * time.Minute), ReconcileStrategy: "Revision",
				Verify:    &v2.HelmChartTemplateVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}},
				SourceRef: v2.CrossNamespaceObjectReference{Kind: "HelmRepository", Name: "charts"},
			},
		}
	})
	chart := &sourcev1.HelmChart{}
	eventually(t, "the HelmChart is to be made", func() error {
		return api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: ns + "-app"}, chart)
	})
	if !slices.Contains(chart.Finalizers, sourcev1.SourceFinalizer) {
		t.Errorf("the HelmChart has the finalizers %v: its controller has to write it before anything else", chart.Finalizers)
	}
	fetchFails(t, chart)
	obj := until(t, key, "Ready", "False", "SourceNotReady")
	if obj.Status.HelmChart != ns+"/"+ns+"-app" {
		t.Errorf("status.helmChart is %q", obj.Status.HelmChart)
	}
	want := sourcev1.HelmChartSpec{
		Chart: "web", Version: "1.x", SourceRef: sourcev1.LocalHelmChartSourceReference{Kind: "HelmRepository", Name: "charts"},
		Interval: *within(7 * time.Minute), ReconcileStrategy: "Revision", ValuesFiles: []string{"values.yaml"}, IgnoreMissingValuesFiles: true,
		Verify: &sourcev1.HelmChartVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: "keys"}},
	}
	if diff := cmp.Diff(want, chart.Spec); diff != "" {
		t.Errorf("the HelmChart (-want +got):\n%s", diff)
	}
	if chart.Labels["team"] != "a" || chart.Labels["helm.toolkit.fluxcd.io/name"] != "app" || chart.Annotations["note"] != "n" {
		t.Errorf("the labels of the HelmChart are %v, its annotations %v", chart.Labels, chart.Annotations)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Chart.Spec.Interval = nil })
	eventually(t, "the HelmChart is to have the interval of the HelmRelease", func() error {
		check(t, api.Get(t.Context(), client.ObjectKeyFromObject(chart), chart))
		if got := chart.Spec.Interval.Duration; got != obj.Spec.Interval.Duration {
			return fmt.Errorf("it has %s", got)
		}
		return nil
	})
	p.publish(t, ns, ns+"-app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	obj = ready(t, key, v2.InstallSucceededReason)
	check(t, api.Delete(t.Context(), obj))
	gone(t, obj)
	deleting(t, chart)
}

// fetchFails does as the controller of HelmCharts when the source has no such chart.
func fetchFails(t *testing.T, chart *sourcev1.HelmChart) {
	t.Helper()
	chart.Status.Conditions = []metav1.Condition{{
		Type: "Ready", Status: metav1.ConditionFalse, Reason: "ChartPullError", Message: "no such chart", ObservedGeneration: chart.Generation,
		LastTransitionTime: metav1.Now(),
	}}
	check(t, api.Status().Update(t.Context(), chart))
}

// deleting waits until a HelmChart is deleted, and does as its controller then.
func deleting(t *testing.T, chart *sourcev1.HelmChart) {
	t.Helper()
	eventually(t, "the HelmChart is to be deleted", func() error {
		if err := api.Get(t.Context(), client.ObjectKeyFromObject(chart), chart); err != nil || chart.DeletionTimestamp.IsZero() {
			return errors.Join(err, errStill)
		}
		chart.Finalizers = nil
		return api.Update(t.Context(), chart)
	})
	gone(t, chart)
}

func TestChartOfAnOCIRepository(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	repository := &sourcev1.OCIRepository{ObjectMeta: named(ns, "app")}
	repository.Spec.URL, repository.Spec.Interval.Duration = "oci://registry/web", 1e12
	check(t, api.Create(t.Context(), repository))
	push := func(hex, text string) string {
		digest := "sha256:" + strings.Repeat(hex, 64)
		ref := artifact.Ref{Kind: sourcev1.OCIRepositoryKind, Namespace: ns, Name: "app"}
		stored := p.put(t, ref, "1.0.0@"+digest, archive(t, "web", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "NOTES.txt": text})))
		check(t, api.Get(t.Context(), client.ObjectKeyFromObject(repository), repository))
		repository.Status.ObservedGeneration, repository.Status.Artifact = repository.Generation, stored
		check(t, api.Status().Update(t.Context(), repository))
		return digest
	}
	first := push("a", "one")
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.ChartRef.Kind = "OCIRepository" })
	obj := ready(t, key, v2.InstallSucceededReason)
	if h := obj.Status.History.Latest(); h.ChartVersion != "1.0.0+aaaaaaaaaaaa" || h.OCIDigest != first || obj.Status.LastAttemptedRevisionDigest != first {
		t.Errorf("the status is %+v", obj.Status)
	}
	// The tag is moved to another chart of the same version.
	push("b", "two")
	obj = ready(t, key, v2.UpgradeSucceededReason)
	if h := obj.Status.History.Latest(); h.ChartVersion != "1.0.0+bbbbbbbbbbbb" {
		t.Errorf("the history is %+v", h)
	}
}

func TestAnotherTargetIsAnotherRelease(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", nil)
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.ReleaseName = "other" })
	obj := ready(t, key, v2.InstallSucceededReason)
	if h := obj.Status.History; len(h) != 1 || h[0].Name != "other" || settings(t, ns, "app-settings") != nil || settings(t, ns, "other-settings") == nil {
		t.Errorf("the history is %+v", h)
	}
	target := space(t)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.TargetNamespace, obj.Spec.StorageNamespace = target, target })
	obj = ready(t, key, v2.InstallSucceededReason)
	if obj.Status.StorageNamespace != target || settings(t, ns, "other-settings") != nil || settings(t, target, "other-settings") == nil {
		t.Errorf("the status is %+v", obj.Status)
	}
}

const hookTemplate = `
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-check
  annotations: {helm.sh/hook: test}
data: {text: "{{ .Values.text }}"}
`

func TestTests(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "check.yaml": hookTemplate}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.Test = &v2.Test{Enable: true} })
	obj := ready(t, key, v2.TestSucceededReason)
	if got, want := message(obj, "TestSuccess"), "Helm test succeeded for release "+ns+"/app.v1 with chart web@1.0.0: 1 test hook completed successfully"; got != want {
		t.Errorf("TestSuccess says %q, want %q", got, want)
	}
	if hook := obj.Status.History.Latest().GetTestHooks()["app-check"]; hook == nil || hook.Phase != "Succeeded" {
		t.Errorf("the history is %+v", obj.Status.History.Latest())
	}
}

func TestRendering(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "deployment.yaml": neverTemplate, "check.yaml": hookTemplate})
	p.publish(t, ns, "app", files)
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.CommonMetadata = &v2.CommonMetadata{Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "n"}}
		s.PostRenderers = []v2.PostRenderer{{Kustomize: &v2.Kustomize{
			Patches: []kustomize.Patch{{
				Patch: `[{"op": "replace", "path": "/data/text", "value": "patched"}]`, Target: &kustomize.Selector{Kind: "ConfigMap", Name: "app-settings"},
			}},
			Images: []kustomize.Image{{Name: "none", NewName: "other", NewTag: "2"}},
		}}}
	})
	obj := ready(t, key, v2.InstallSucceededReason)
	cm := &corev1.ConfigMap{}
	check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, cm))
	if cm.Data["text"] != "patched" || cm.Labels["team"] != "a" || cm.Annotations["note"] != "n" || cm.Labels["helm.toolkit.fluxcd.io/namespace"] != ns || cm.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("the ConfigMap is %+v", cm)
	}
	if entries := obj.Status.Inventory.Entries; len(entries) != 2 || entries[0].ID != ns+"_app-settings__ConfigMap" || entries[1].ID != ns+"_app-web_apps_Deployment" {
		t.Errorf("the inventory is %+v", entries)
	}
	if out := helmCommand(t, "get", "manifest", "app", "-n", ns); !strings.Contains(out, "image: other:2") {
		t.Errorf("the manifest is\n%s", out)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.CommonMetadata.Labels["team"] = "b" })
	if obj = ready(t, key, v2.UpgradeSucceededReason); obj.Status.ObservedCommonMetadataDigest == "" || obj.Status.ObservedPostRenderersDigest == "" {
		t.Errorf("the status is %+v", obj.Status)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.CommonMetadata, obj.Spec.PostRenderers = nil, nil })
	eventually(t, "what was added to the objects is to go", func() error {
		check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-settings"}, cm))
		if cm.Data["text"] != "default" || cm.Labels["team"] != "" || cm.Annotations["note"] != "" {
			return fmt.Errorf("the ConfigMap is %+v", cm)
		}
		return nil
	})
	if out := helmCommand(t, "get", "manifest", "app", "-n", ns); !strings.Contains(out, "image: none") {
		t.Errorf("the manifest is\n%s", out)
	}
	if obj = ready(t, key, v2.UpgradeSucceededReason); obj.Status.ObservedCommonMetadataDigest != "" || obj.Status.ObservedPostRenderersDigest != "" || obj.Status.History.Latest().Version != 3 {
		t.Errorf("the status is %+v", obj.Status)
	}
}

const definition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]ss.test.peyk.dev}
spec:
  group: test.peyk.dev
  scope: Namespaced
  names: {kind: %[2]s, plural: %[1]ss, singular: %[1]s}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

func TestDefinitionsAndHealthExpressions(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := web("1.0.0", map[string]string{"thing.yaml": "apiVersion: test.peyk.dev/v1\nkind: Gadget\nmetadata: {name: thing}\nspec: {phase: {{ .Values.text }}}\n"})
	files["crds/gadget.yaml"] = fmt.Sprintf(definition, "gadget", "Gadget")
	p.publish(t, ns, "app", files)
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.HealthCheckExprs = []kustomize.CustomHealthCheck{{APIVersion: "test.peyk.dev/v1", Kind: "Gadget", HealthCheckExpressions: kustomize.HealthCheckExpressions{
			Current: "spec.phase == 'good'", Failed: "spec.phase == 'bad'",
		}}}
		s.Values = jsonOf(map[string]any{"text": "bad"})
	})
	obj := until(t, key, "Stalled", "True", "RetriesExceeded")
	want := "failed early due to stalled resources: [Gadget/" + ns + "/thing status: 'Failed']"
	if got := message(obj, "Ready"); !strings.HasSuffix(got, want) {
		t.Errorf("Ready says %q, want %q", got, want)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "good"}) })
	ready(t, key, v2.UpgradeSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.HealthCheckExprs[0].Current = "spec.phase ==" })
	until(t, key, "Stalled", "True", "InvalidCELExpression")
}
