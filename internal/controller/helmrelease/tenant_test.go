package helmrelease

import (
	"os"
	"strings"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/peyk/peyk/internal/tenancy"
)

func TestTenants(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{NoCrossNamespaceRefs: true, DefaultServiceAccount: "tenant"})
	ns, other := space(t), space(t)
	key := release(t, ns, "across", func(s *v2.HelmReleaseSpec) { s.ChartRef.Namespace = other })
	until(t, key, "Stalled", "True", "AccessDenied")

	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	account := admin(t, ns, "tenant")
	key = release(t, ns, "app", nil)
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.TargetNamespace, obj.Spec.ReleaseName = other, "app" })
	obj := until(t, key, "Ready", "False", v2.InstallFailedReason)
	if got := message(obj, "Ready"); !strings.Contains(got, "forbidden") || !strings.Contains(got, "system:serviceaccount:"+ns+":tenant") {
		t.Errorf("Ready says %q", got)
	}

	// A HelmRelease whose service account is gone does not keep its namespace from going.
	p.publish(t, ns, "left", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key = release(t, ns, "left", nil)
	obj = ready(t, key, v2.InstallSucceededReason)
	check(t, api.Delete(t.Context(), account))
	check(t, api.Delete(t.Context(), obj))
	gone(t, obj)
	if settings(t, ns, "left-settings") == nil {
		t.Error("it was uninstalled on nobody's behalf")
	}
}

// admin makes a service account that may do everything in its namespace.
func admin(t *testing.T, ns, name string) *corev1.ServiceAccount {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: named(ns, name)}
	check(t, api.Create(t.Context(), account))
	check(t, api.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: named(ns, name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: name}},
	}))
	return account
}

func TestSuspendedIsLeftAsItIs(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", nil)
	ready(t, key, v2.InstallSucceededReason)
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Suspend = true })
	obj := get(t, key)
	check(t, api.Delete(t.Context(), obj))
	gone(t, obj)
	if settings(t, ns, "app-settings") == nil {
		t.Error("it was uninstalled")
	}
}

// TestRemoteCluster reaches the cluster as if it were another one. The default service account is one of that cluster.
func TestRemoteCluster(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{DefaultServiceAccount: "there"})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
		s.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "there"}}
		s.DriftDetection = &v2.DriftDetection{Mode: v2.DriftDetectionEnabled}
	})
	until(t, key, "Ready", "False", "RESTClientError")
	kubeconfig, err := os.ReadFile(plane.Kubeconfig)
	check(t, err)
	secret := &corev1.Secret{ObjectMeta: named(ns, "there"), Data: map[string][]byte{"value": kubeconfig}}
	check(t, api.Create(t.Context(), secret))
	admin(t, ns, "there")
	requestReconcile(t, key, "now", nil)
	obj := ready(t, key, v2.InstallSucceededReason)
	check(t, api.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: named(ns, "app-settings")}))
	expectSettings(t, ns, "app-settings", "default")

	// A HelmRelease whose cluster cannot be reached any more does not stay for ever.
	check(t, api.Delete(t.Context(), secret))
	check(t, api.Delete(t.Context(), obj))
	gone(t, obj)
}
