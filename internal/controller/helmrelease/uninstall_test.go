package helmrelease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

// records lists the revisions in a release's storage, oldest first, with their status.
func records(t *testing.T, namespace string) []string {
	t.Helper()
	found := &corev1.SecretList{}
	check(t, api.List(t.Context(), found, client.InNamespace(namespace), client.MatchingLabels{"owner": "helm"}))
	list := []string{}
	for _, record := range found.Items {
		list = append(list, record.Labels["version"]+" "+record.Labels["status"])
	}
	slices.Sort(list)
	return list
}

func TestHistoryIsKeptAndReplaced(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		keep, replace bool
		left, after   string
		status        string // status and reason of Ready, of a release of the same name
		message       string
	}{
		"not kept":           {left: "", status: "True InstallSucceeded", message: "app.v1", after: "1 deployed"},
		"kept, replaced":     {keep: true, replace: true, left: "1 uninstalled", status: "True InstallSucceeded", message: "app.v2", after: "1 superseded, 2 deployed"},
		"kept, in the way":   {keep: true, left: "1 uninstalled", status: "False InstallFailed", message: "cannot reuse a name that is still in use", after: "1 uninstalled"},
		"nothing to replace": {replace: true, left: "", status: "True InstallSucceeded", message: "app.v1", after: "1 deployed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
			change := func(s *v2.HelmReleaseSpec) {
				s.Install, s.Uninstall = &v2.Install{Replace: c.replace}, &v2.Uninstall{KeepHistory: c.keep}
			}
			obj := ready(t, release(t, ns, "app", change), v2.InstallSucceededReason)
			check(t, api.Delete(t.Context(), obj))
			gone(t, obj)
			if got := strings.Join(records(t, ns), ", "); got != c.left {
				t.Errorf("after the deletion the records are %q, want %q", got, c.left)
			}
			if settings(t, ns, "app-settings") != nil {
				t.Error("what was installed is still there")
			}
			key := release(t, ns, "app", change)
			status, reason, _ := strings.Cut(c.status, " ")
			obj = until(t, key, "Ready", status, reason)
			if got := message(obj, "Ready"); !strings.Contains(got, c.message) {
				t.Errorf("Ready says %q, want %q in it", got, c.message)
			}
			if got := strings.Join(records(t, ns), ", "); got != c.after {
				t.Errorf("after the second installation the records are %q, want %q", got, c.after)
			}
		})
	}
}

// TestDeletionPropagation holds back what a Deployment owns, to see what becomes of the Deployment.
func TestDeletionPropagation(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		propagation      *string
		stays            bool // the Deployment, until what it owns is gone
		orphaned, delete bool // what it owns
	}{
		"by default": {delete: true},
		"background": {propagation: new("background"), delete: true},
		"foreground": {propagation: new("foreground"), stays: true, delete: true},
		"orphan":     {propagation: new("orphan"), orphaned: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", deploymentChart("1.0.0"))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Values, s.Uninstall = replicas(0).Values, &v2.Uninstall{DeletionPropagation: c.propagation}
			})
			obj := ready(t, key, v2.InstallSucceededReason)
			set := holdReplicaSet(t, ns)
			check(t, api.Delete(t.Context(), obj))
			deployment := &appsv1.Deployment{ObjectMeta: named(ns, "app-web")}
			eventually(t, "the Deployment is to be deleted", func() error {
				err := api.Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment)
				switch {
				case !c.stays && apierrors.IsNotFound(err), c.stays && err == nil && slices.Contains(deployment.Finalizers, "foregroundDeletion"):
					return nil
				case c.stays && apierrors.IsNotFound(err):
					t.Fatal("the Deployment went before what it owns")
				}
				return fmt.Errorf("it has the finalizers %v: %w", deployment.Finalizers, err)
			})
			eventually(t, "the ReplicaSet is to be as wanted", func() error {
				check(t, api.Get(t.Context(), client.ObjectKeyFromObject(set), set))
				if deleted, orphaned := set.DeletionTimestamp != nil, len(set.OwnerReferences) == 0; deleted != c.delete || orphaned != c.orphaned {
					return fmt.Errorf("deleted %t, orphaned %t", deleted, orphaned)
				}
				return nil
			})
			letGo(t, set)
			gone(t, obj)
			gone(t, deployment)
		})
	}
}

// TestDeletedBeforeAnythingWasWrittenDown kills the process between Helm's record and the status.
func TestDeletedBeforeAnythingWasWrittenDown(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", nil))
	key := release(t, ns, "app", nil)
	obj := ready(t, key, v2.InstallSucceededReason)
	theirs := release(t, ns, "other", func(s *v2.HelmReleaseSpec) { s.ChartRef.Name, s.ReleaseName = "app", "app2" })
	other := ready(t, theirs, v2.InstallSucceededReason)
	p.stop()
	for _, one := range []*v2.HelmRelease{obj, other} {
		one.Status = v2.HelmReleaseStatus{}
		check(t, api.Status().Update(t.Context(), one))
	}
	check(t, api.Delete(t.Context(), obj))
	// Without the mark of whom it was made for, a release is somebody else's.
	records := &corev1.SecretList{}
	check(t, api.List(t.Context(), records, client.InNamespace(ns), client.MatchingLabels{"name": "app2"}))
	for _, record := range records.Items {
		record.Annotations = nil
		check(t, api.Update(t.Context(), &record))
	}
	check(t, api.Delete(t.Context(), other))
	start(t, dir, tenancy.Policy{})
	gone(t, obj)
	gone(t, other)
	check(t, api.List(t.Context(), records, client.InNamespace(ns)))
	if len(records.Items) != 1 || records.Items[0].Labels["name"] != "app2" {
		t.Errorf("%d records are left, want that of app2 alone", len(records.Items))
	}
}

const hold = "test.peyk.dev/hold"

// holdReplicaSet puts a finalizer on the only ReplicaSet of a namespace.
func holdReplicaSet(t *testing.T, namespace string) *appsv1.ReplicaSet {
	t.Helper()
	sets := &appsv1.ReplicaSetList{}
	eventually(t, "the ReplicaSet is to be held", func() error {
		check(t, api.List(t.Context(), sets, client.InNamespace(namespace)))
		if len(sets.Items) != 1 {
			return errors.New("there is none")
		}
		sets.Items[0].Finalizers = append(sets.Items[0].Finalizers, hold)
		return api.Update(t.Context(), &sets.Items[0])
	})
	return &sets.Items[0]
}

func letGo(t *testing.T, set *appsv1.ReplicaSet) {
	t.Helper()
	eventually(t, "the ReplicaSet is to be let go", func() error {
		check(t, api.Get(t.Context(), client.ObjectKeyFromObject(set), set))
		set.Finalizers = slices.DeleteFunc(set.Finalizers, func(f string) bool { return f == hold })
		return api.Update(t.Context(), set)
	})
}
