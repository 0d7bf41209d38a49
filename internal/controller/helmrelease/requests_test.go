package helmrelease

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// calls counts requests about what is in a namespace, such as "PATCH helmreleases/status".
type calls struct {
	mu   sync.Mutex
	seen map[string]map[string]int
}

func (c *calls) add(r *http.Request) {
	_, path, ok := strings.Cut(r.URL.Path, "/namespaces/")
	parts := strings.Split(path, "/")
	if !ok || len(parts) < 2 {
		return
	}
	call := r.Method + " " + parts[1]
	if len(parts) > 3 {
		call += "/" + parts[3]
	}
	if len(parts) == 2 && r.Method == http.MethodGet {
		call = "LIST " + parts[1]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]map[string]int{}
	}
	if c.seen[parts[0]] == nil {
		c.seen[parts[0]] = map[string]int{}
	}
	c.seen[parts[0]][call]++
}

// take returns what was counted for a namespace since the last time.
func (c *calls) take(namespace string) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen[namespace]
	delete(c.seen, namespace)
	return seen
}

func TestRequestsOfARelease(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := map[string]string{
		"account.yaml": fourObjects["account.yaml"], "service.yaml": fourObjects["service.yaml"], "cm.yaml": configMapTemplate,
	}
	p.publish(t, ns, "app", web("1.0.0", files))
	key := release(t, ns, "app", nil)
	ready(t, key, v2.InstallSucceededReason)
	want := map[string]int{
		"PATCH helmreleases": 1, "PATCH helmreleases/status": 1, "POST secrets": 1, "PUT secrets": 1,
		"PATCH configmaps": 1, "PATCH serviceaccounts": 1, "PATCH services": 1,
	}
	if diff := cmp.Diff(want, p.calls.take(ns)); diff != "" {
		t.Errorf("an installation (-want +got):\n%s", diff)
	}

	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "more"}) })
	ready(t, key, v2.UpgradeSucceededReason)
	want = map[string]int{
		"PATCH helmreleases/status": 1, "LIST secrets": 1, "POST secrets": 1, "PUT secrets": 2,
		"PATCH configmaps": 1, "PATCH serviceaccounts": 1, "PATCH services": 1,
	}
	if diff := cmp.Diff(want, p.calls.take(ns)); diff != "" {
		t.Errorf("an upgrade (-want +got):\n%s", diff)
	}

	update(t, key, func(obj *v2.HelmRelease) {
		obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	})
	eventually(t, "the request is to be handled", func() error {
		if get(t, key).Status.LastHandledReconcileAt != "now" {
			return errStill
		}
		return nil
	})
	if diff := cmp.Diff(map[string]int{"PATCH helmreleases/status": 1}, p.calls.take(ns)); diff != "" {
		t.Errorf("a pass with nothing to do (-want +got):\n%s", diff)
	}
}

func TestATemplateIsWaitedForInSilence(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.ChartRef = nil
		s.Chart = &v2.HelmChartTemplate{Spec: v2.HelmChartTemplateSpec{
			Chart: "web", SourceRef: v2.CrossNamespaceObjectReference{Kind: "HelmRepository", Name: "charts"},
		}}
	})
	chart := &sourcev1.HelmChart{}
	eventually(t, "the HelmChart is to be made", func() error {
		return api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: ns + "-app"}, chart)
	})
	p.publish(t, ns, chart.Name, web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	ready(t, key, v2.InstallSucceededReason)
	want := map[string]int{
		"PATCH helmreleases": 1, "PATCH helmreleases/status": 1, "PATCH helmcharts": 1,
		"POST secrets": 1, "PUT secrets": 1, "PATCH configmaps": 1,
	}
	if diff := cmp.Diff(want, p.calls.take(ns)); diff != "" {
		t.Errorf("an installation (-want +got):\n%s", diff)
	}
}

// What was there before an upgrade that failed is not cleaned up with what the upgrade made, though the release takes it.
func TestCleaningUpSparesWhatWasThere(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	check(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named(ns, "app-extra"), Data: map[string]string{"text": "hand"}}))
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.Upgrade = &v2.Upgrade{CleanupOnFail: true, Remediation: &v2.UpgradeRemediation{RemediateLastFailure: new(false)}}
	})
	ready(t, key, v2.InstallSucceededReason)
	broken := "apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}-broken}\nspec: {ports: [{port: 0}]}\n"
	p.publish(t, ns, "app", web("2.0.0", map[string]string{
		"cm.yaml": configMapTemplate, "extra.yaml": extraTemplate, "new.yaml": strings.ReplaceAll(extraTemplate, "-extra", "-new"), "svc.yaml": broken,
	}))
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"extra": "more"}) })
	until(t, key, v2.ReleasedCondition, "False", v2.UpgradeFailedReason)
	cm := &corev1.ConfigMap{}
	check(t, api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-extra"}, cm))
	if cm.Data["text"] != "more" {
		t.Errorf("what was there has %v", cm.Data)
	}
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "app-new"}, cm); !apierrors.IsNotFound(err) {
		t.Errorf("what the upgrade made is still there: %v", err)
	}
}
