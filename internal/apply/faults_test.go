package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/peyk/peyk/internal/kube"
)

// killed applies without writing an inventory down, as a process does that is killed after its last write.
func killed(t *testing.T, owner Owner, texts ...string) {
	t.Helper()
	r := newRig(t)
	r.mustApply(t, r.request(t, owner, texts...))
}

func TestAfterAKillKindsThatNobodyNamesArePruned(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "kinds"}
	budget := fmt.Sprintf("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: lost, namespace: %s}, spec: {minAvailable: 1}}", ns)
	killed(t, owner, space(ns), budget)

	r := newRig(t)
	wanted := r.mustApply(t, r.request(t, owner, space(ns), settings(ns, "a", "1"))).Inventory
	deleted, remaining, err := r.Prune(t.Context(), owner, r.client, nil, wanted)
	if err != nil || len(remaining) > 0 {
		t.Fatalf("remaining %v, error %v", remaining, err)
	}
	if len(deleted) != 1 || deleted[0].Kind != "PodDisruptionBudget" || deleted[0].Version != "v1" {
		t.Errorf("deleted %v, want the budget that no inventory has", deleted)
	}
}

func TestAWriteIsRefusedAfterTheStageWasChecked(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "quota"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	r.applyAs(t, "setup", fmt.Sprintf(`{apiVersion: v1, kind: ResourceQuota, metadata: {name: q, namespace: %s}, spec: {hard: {count/configmaps: "3"}}}`, ns))
	quotas := schema.GroupVersionKind{Version: "v1", Kind: "ResourceQuota"}
	eventually(t, "the quota is counted", func() bool {
		q, err := r.user.Get(t.Context(), quotas, ns, "q")
		return err == nil && value(q, "status", "used", "count/configmaps") != ""
	})
	var texts []string
	for i := range 6 {
		texts = append(texts, settings(ns, fmt.Sprint("a", i), "1"))
	}
	request := r.request(t, owner, texts...)
	result, err := r.Apply(t.Context(), request)
	if err == nil || !strings.Contains(err.Error(), "exceeded quota") {
		t.Fatalf("error %v, want the quota", err)
	}
	there := 0
	for i := range 6 {
		if _, found := r.data(t, ns, fmt.Sprint("a", i)); found {
			there++
		}
	}
	if there == 0 || len(result.Inventory) != there {
		t.Errorf("inventory has %d entries, the cluster %d objects", len(result.Inventory), there)
	}
	r.delete(t, quotas, ns, "q")
	before := r.writes.Load()
	eventually(t, "the rest is applied", func() bool { _, err := r.Apply(t.Context(), request); return err == nil })
	if n := int(r.writes.Load() - before); n > 6 {
		t.Errorf("%d writes, want those that were missing", n)
	}
}

func TestTwoOwnersStayApartAfterARestart(t *testing.T) {
	ns, first, second := namespace(t), Owner{"Kustomization", "flux-system", "before"}, Owner{"Kustomization", "flux-system", "after"}
	killed(t, first, space(ns), settings(ns, "a", "1"))
	r := newRig(t)
	r.Holds("Kustomization", func(o Owner, id ObjectID) bool { return o == first && id.Name == "a" })
	_, err := r.Apply(t.Context(), r.request(t, second, settings(ns, "a", "2")))
	if _, ok := errors.AsType[*ConflictError](err); !ok {
		t.Fatalf("error %v, want a ConflictError", err)
	}
	// The other owner is brought up to date, and lets go: whoever waits is woken, and the object is handed over as it is.
	prior := r.mustApply(t, r.request(t, first, space(ns), settings(ns, "a", "1"))).Inventory
	uid := r.get(t, ns, "a").GetUID()
	wanted := r.mustApply(t, r.request(t, first, space(ns))).Inventory
	r.woken(t, second)
	if _, _, err := r.Prune(t.Context(), first, r.client, prior, wanted); err != nil {
		t.Fatal(err)
	}
	r.mustApply(t, r.request(t, second, settings(ns, "a", "2")))
	if obj := r.get(t, ns, "a"); obj.GetUID() != uid || value(obj, "data", "key") != "2" {
		t.Errorf("value %q, recreated %t: want it handed over", value(obj, "data", "key"), obj.GetUID() != uid)
	}
	if !r.InSync(first) || !r.InSync(second) {
		t.Error("want both in sync")
	}
}

func TestANamespaceThatTerminates(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "terminating"}
	r := newRig(t)
	request := r.request(t, owner, with(space(ns), "finalizers: [example.com/hold]"), settings(ns, "a", "1"))
	r.mustApply(t, request)
	r.patch(t, ns, "a", "setup", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	namespaces := schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	r.delete(t, namespaces, "", ns)
	r.woken(t, owner)
	request = r.request(t, owner, space(ns), settings(ns, "a", "2"), settings(ns, "b", "1"))
	start := time.Now()
	_, err := r.Apply(t.Context(), request)
	if err == nil || !strings.Contains(err.Error(), "being deleted") || time.Since(start) > 20*time.Second {
		t.Fatalf("error %v after %s, want at once that the namespace is being deleted", err, time.Since(start))
	}
	r.patch(t, ns, "a", "setup", `{"metadata":{"finalizers":null}}`)
	eventually(t, "everything is there again, in a new namespace", func() bool {
		_, err := r.Apply(t.Context(), request)
		return err == nil && value(r.get(t, ns, "a"), "data", "key") == "2"
	})
}

func TestAKindIsReplacedByAnother(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "replaced"}
	r := newRig(t)
	workload := func(kind, more string) string {
		return fmt.Sprintf(`{apiVersion: apps/v1, kind: %s, metadata: {name: web, namespace: %s}, spec: {%s selector: {matchLabels: {a: b}},
template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`, kind, ns, more)
	}
	was := r.mustApply(t, r.request(t, owner, space(ns), workload("Deployment", ""))).Inventory
	is := r.mustApply(t, r.request(t, owner, space(ns), workload("StatefulSet", "serviceName: web,"))).Inventory
	deleted, _, err := r.Prune(t.Context(), owner, r.client, was, is)
	if err != nil || len(deleted) != 1 || deleted[0].Kind != "Deployment" {
		t.Errorf("deleted %v with %v, want the Deployment", deleted, err)
	}
}

// Two versions of one kind in use at the same time are no drift.
func TestVersionsOfOneKind(t *testing.T) {
	ns, first, second := namespace(t), Owner{"Kustomization", "flux-system", "v1"}, Owner{"Kustomization", "flux-system", "v2"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	old := fmt.Sprintf("{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: old, namespace: %s}, spec: {maxReplicas: 3, targetCPUUtilizationPercentage: 50, scaleTargetRef: {kind: Deployment, name: x, apiVersion: apps/v1}}}", ns)
	now := fmt.Sprintf("{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: new, namespace: %s}, spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: x, apiVersion: apps/v1}, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}}", ns)
	r.mustApply(t, r.request(t, first, old))
	r.mustApply(t, r.request(t, second, now))
	autoscalers := schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	for _, name := range []string{"old", "new"} {
		if _, err := r.user.Dynamic.Resource(autoscalers).Namespace(ns).Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"other":"x"}}}`), metav1.PatchOptions{FieldManager: "other"}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the change is seen", func() bool {
			obj, err := r.user.Dynamic.Resource(autoscalers).Namespace(ns).Get(t.Context(), name, metav1.GetOptions{})
			r.mu.Lock()
			defer r.mu.Unlock()
			return err == nil && r.live[liveKey{"Kustomization", ObjectID{ns, name, "autoscaling", "HorizontalPodAutoscaler"}}].version == obj.GetResourceVersion()
		})
	}
	if !r.InSync(first) || !r.InSync(second) {
		t.Error("want both in sync")
	}
	again := newRig(t)
	again.mustApply(t, again.request(t, second, now))
	again.mustApply(t, again.request(t, first, old))
	if n := again.writes.Load(); n != 0 {
		t.Errorf("%d writes after a restart, want none", n)
	}
}

// tenant returns a client with the rights of a role in one namespace.
func tenant(t *testing.T, r *rig, config *rest.Config, ns, verbs string) *kube.Client {
	t.Helper()
	r.applyAs(t, "setup", fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: tenant, namespace: %s},
rules: [{apiGroups: [""], resources: [configmaps], verbs: [%s]}]}`, ns, verbs))
	r.applyAs(t, "setup", fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: tenant, namespace: %s},
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}, subjects: [{kind: ServiceAccount, name: tenant, namespace: %s}]}`, ns, ns))
	client := clientFor(t, config, kube.Identity{Namespace: ns, ServiceAccount: "tenant"})
	eventually(t, "the role is in force", func() bool {
		_, err := client.Get(t.Context(), configMapKind, ns, "kube-root-ca.crt")
		return err == nil
	})
	return client
}

// Peyk may not list the kind: what the owner may see is polled.
func TestWhatCannotBeWatchedIsPolled(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "polled"}
	setup := newRig(t)
	setup.applyAs(t, "setup", space(ns))
	client := tenant(t, setup, plane.Config, ns, "get, create, patch, update, delete")
	start := func() *rig {
		r := &rig{client: client, user: setup.user}
		r.start(t, client)
		return r
	}
	r := start()
	request := r.request(t, owner, settings(ns, "a", "1"), settings(ns, "b", "1"))
	all := r.mustApply(t, request).Inventory
	if !r.InSync(owner) || !r.Health(owner, nil).Ready {
		t.Errorf("in sync %t, health %+v, want both good", r.InSync(owner), r.Health(owner, nil))
	}
	if got := actions(r.mustApply(t, request))["ConfigMap/a"]; got != Unchanged {
		t.Errorf("the second apply says %q, want unchanged", got)
	}
	r.edit(t, ns, "a", "by hand")
	r.mu.Lock()
	for _, tracked := range r.owned[owner].objects {
		tracked.polled = time.Time{} // it is due
	}
	r.mu.Unlock()
	r.woken(t, owner)
	if changed := r.mustApply(t, request).Changed(); len(changed) != 1 || !changed[0].Repair {
		t.Errorf("changes %+v, want one repair", changed)
	}
	again := start()
	if changed := again.mustApply(t, request).Changed(); len(changed) > 0 {
		t.Errorf("changes %+v after a restart, want none", changed)
	}
	kept := again.mustApply(t, r.request(t, owner, settings(ns, "a", "1"))).Inventory
	deleted, _, err := again.Prune(t.Context(), owner, client, all, kept)
	if err != nil || len(deleted) != 1 || deleted[0].Name != "b" {
		t.Errorf("deleted %v with %v, want b", deleted, err)
	}
}

func TestAnotherIdentityIsCheckedAnew(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "identity"}
	r := newRig(t)
	r.applyAs(t, "setup", space(ns))
	request := r.request(t, owner, settings(ns, "a", "1"))
	r.mustApply(t, request)
	request.Client = tenant(t, r, plane.Config, ns, "get")
	if _, err := r.Apply(t.Context(), request); err == nil || !strings.Contains(err.Error(), "cannot patch") {
		t.Errorf("error %v, want that the tenant may not apply this", err)
	}
}

func TestManyObjects(t *testing.T) {
	const n = 1500
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "many"}
	r := newRig(t)
	texts := []string{space(ns)}
	for i := range n {
		texts = append(texts, settings(ns, fmt.Sprint("a", i), "1"))
	}
	request := r.request(t, owner, texts...)
	start := time.Now()
	r.mustApply(t, request)
	t.Logf("applied %d objects in %s", n, time.Since(start))
	before, start := r.requests.Load(), time.Now()
	r.mustApply(t, request)
	if took, requests := time.Since(start), r.requests.Load()-before; requests > 0 || took > 15*time.Second {
		t.Errorf("an apply of what is there took %s and %d requests", took, requests)
	}
	eventually(t, "the owner is in sync", func() bool { return r.InSync(owner) })
}

func TestClustersAreKeptApart(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "there"}
	r := newRig(t)
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}], users: [{name: u, user: {%s}}]}`, plane.Config.Host, encoded(t, plane.Config.CAData, plane.Config.CAFile), credentials(t))
	k, err := kube.Sanitize([]byte(text), kube.RemoteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := clientFor(t, plane.Config, kube.Identity{Kubeconfig: k})
	clusters := NewClusters(r.Engine)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = clusters.Start(ctx) }()
	engine := clusters.Engine(owner, there)
	if engine == r.Engine || clusters.Engine(owner, there) != engine {
		t.Fatal("want one engine for the other cluster")
	}
	request := r.request(t, owner, space(ns), settings(ns, "a", "1"))
	request.Client = there
	if _, err := engine.Apply(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	r.edit(t, ns, "a", "by hand")
	r.woken(t, owner) // by the queue that all engines share
	if engine.InSync(owner) {
		t.Error("want the drift in the other cluster seen")
	}
	if clusters.Engine(owner, r.client) != r.Engine || engine.InSync(owner) || engine.owned[owner] != nil {
		t.Error("want the other cluster forgotten when the owner comes home")
	}
	clusters.mu.Lock()
	for _, o := range clusters.others {
		o.used = time.Time{}
	}
	clusters.mu.Unlock()
	clusters.sweep()
	if len(clusters.others) != 0 {
		t.Error("want the engine that has no owner stopped")
	}
}

// Two owners that want an object just so share it: nobody writes, and nobody deletes it while one is left.
func TestOwnersShareWhatTheyWantAlike(t *testing.T) {
	ns, first, second := namespace(t), Owner{"Kustomization", "flux-system", "share-1"}, Owner{"Kustomization", "flux-system", "share-2"}
	r := newRig(t)
	mine := r.request(t, first, space(ns), settings(ns, "a", "1"))
	prior := r.mustApply(t, mine).Inventory
	writes := r.writes.Load()
	theirs := r.request(t, second, space(ns), settings(ns, "a", "1"))
	for range 2 {
		if result := r.mustApply(t, theirs); len(result.Changed()) > 0 || len(result.Inventory) != 2 {
			t.Errorf("changes %+v, inventory %v: want it shared", result.Changed(), result.Inventory)
		}
	}
	r.Verify(first)
	r.Verify(second)
	r.mustApply(t, theirs)
	r.mustApply(t, mine)
	if n := r.writes.Load() - writes; n != 0 || !r.InSync(first) || !r.InSync(second) {
		t.Errorf("%d writes, want none and both in sync", n)
	}
	if report := r.Health(second, nil); !report.Ready {
		t.Errorf("health %+v, want what is shared counted", report)
	}

	// After a restart it does not matter who comes first.
	again := newRig(t)
	again.Holds("Kustomization", func(Owner, ObjectID) bool { return true })
	again.mustApply(t, theirs)
	again.mustApply(t, mine)
	if n := again.writes.Load(); n != 0 {
		t.Errorf("%d writes after a restart, want none", n)
	}

	// They fall out.
	_, err := r.Apply(t.Context(), r.request(t, second, space(ns), settings(ns, "a", "2")))
	if _, ok := errors.AsType[*ConflictError](err); !ok {
		t.Fatalf("error %v, want a ConflictError", err)
	}
	r.mustApply(t, theirs)

	// The first lets go: the second has it from then on.
	uid := r.get(t, ns, "a").GetUID()
	wanted := r.mustApply(t, r.request(t, first, space(ns))).Inventory
	if _, _, err := r.Prune(t.Context(), first, r.client, prior, wanted); err != nil {
		t.Fatal(err)
	}
	r.woken(t, second)
	if r.InSync(second) {
		t.Error("want the second to take over")
	}
	r.mustApply(t, theirs)
	if obj := r.get(t, ns, "a"); obj.GetUID() != uid || obj.GetLabels()["kustomize.toolkit.fluxcd.io/name"] != "share-2" {
		t.Errorf("labels %v, recreated %t: want it handed over", obj.GetLabels(), obj.GetUID() != uid)
	}
	if deleted, _, err := r.Prune(t.Context(), first, r.client, wanted, nil); err != nil || len(deleted) != 0 {
		t.Errorf("deleted %v with %v, want the namespace left to the second", deleted, err)
	}
}

// What changed while the watch was lost is seen when it is back.
func TestDriftInAWatchGapIsSeen(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "gap"}
	r := &rig{user: clientOf(t, plane.Config)}
	gate := &gate{}
	config := rest.CopyConfig(plane.Config)
	config.Wrap(gate.wrap)
	r.client = clientOf(t, config)
	r.start(t, r.client)
	request := r.request(t, owner, space(ns), settings(ns, "changed", "1"), settings(ns, "deleted", "1"))
	r.mustApply(t, request)

	gate.shut()
	r.edit(t, ns, "changed", "by hand")
	r.delete(t, configMapKind, ns, "deleted")
	time.AfterFunc(time.Second, gate.open) // shorter than requests are tried again
	got := actions(r.mustApply(t, r.request(t, owner, space(ns), settings(ns, "changed", "1"), settings(ns, "deleted", "1"), settings(ns, "new", "1"))))
	if got["ConfigMap/new"] != Created {
		t.Errorf("the new object was %q, want it created once the server is back", got["ConfigMap/new"])
	}
	eventually(t, "the drift is seen and repaired", func() bool {
		r.mustApply(t, request)
		value, _ := r.data(t, ns, "changed")
		_, there := r.data(t, ns, "deleted")
		return value == "1" && there
	})
}

// gate breaks connections while it is shut.
type gate struct {
	mu      sync.Mutex
	closed  bool
	streams []io.Closer
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, s := range g.streams {
		_ = s.Close()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

func (g *gate) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed {
			return nil, syscall.ECONNREFUSED
		}
		resp, err := next.RoundTrip(req)
		if err == nil && req.URL.Query().Get("watch") != "" {
			g.mu.Lock()
			g.streams = append(g.streams, resp.Body)
			g.mu.Unlock()
		}
		return resp, err
	})
}

// A definition is deleted with everything of its kind: both are put back, and watched again.
func TestADefinitionIsDeleted(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "deleted"}
	r := newRig(t)
	crd := definition("Doodad")
	doodad := fmt.Sprintf("{apiVersion: test.peyk.dev/v1, kind: Doodad, metadata: {name: d, namespace: %s}, size: 1}", ns)
	request := r.request(t, owner, space(ns), crd, doodad)
	r.mustApply(t, request)
	doodads := schema.GroupVersionResource{Group: "test.peyk.dev", Version: "v1", Resource: "doodads"}
	resource := r.user.Dynamic.Resource(doodads).Namespace(ns)
	first, err := resource.Get(t.Context(), "d", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	r.delete(t, gvk, "", "doodads.test.peyk.dev")
	r.woken(t, owner)
	eventually(t, "everything is there again", func() bool {
		_, err := r.Apply(t.Context(), request)
		again, missing := resource.Get(t.Context(), "d", metav1.GetOptions{})
		return err == nil && missing == nil && again.GetUID() != first.GetUID() && r.InSync(owner)
	})
	if _, err := resource.Patch(t.Context(), "d", types.MergePatchType, []byte(`{"size":2}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the kind is watched again", func() bool { return !r.InSync(owner) })
}

// A kind that was in namespaces is defined anew without: a client that knew it finds its objects.
func TestAKindLeavesItsNamespaces(t *testing.T) {
	ns := namespace(t)
	r := newRig(t)
	text := definition("Nomad")
	gvk := schema.GroupVersionKind{Group: "test.peyk.dev", Version: "v1", Kind: "Nomad"}
	served := func(text string) {
		t.Helper()
		r.applyAs(t, "test", text)
		want := meta.RESTScopeNameRoot
		if strings.Contains(text, "scope: Namespaced") {
			want = meta.RESTScopeNameNamespace
		}
		eventually(t, "the kind is served", func() bool {
			mapping, err := r.user.Fresh().Mapping(gvk)
			return err == nil && mapping.Scope.Name() == want
		})
	}
	served(text)
	if _, err := r.client.Get(t.Context(), gvk, ns, "n"); !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	crds := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	r.delete(t, crds, "", "nomads.test.peyk.dev")
	eventually(t, "the definition is gone", func() bool {
		_, err := r.user.Get(t.Context(), crds, "", "nomads.test.peyk.dev")
		return apierrors.IsNotFound(err)
	})
	served(strings.Replace(text, "scope: Namespaced", "scope: Cluster", 1))
	time.Sleep(time.Second) // as long as what is known is kept in any case
	if _, err := r.client.Get(t.Context(), gvk, "", "n"); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}
