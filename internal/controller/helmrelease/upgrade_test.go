package helmrelease

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/tenancy"
)

const extraTemplate = `
{{- if .Values.extra }}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-extra}
data: {text: {{ .Values.extra | quote }}}
{{- end }}
`

func TestOwnershipIsTaken(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	const refused = "invalid ownership metadata"
	for name, c := range map[string]struct {
		install, upgrade bool   // disabled
		there            string // what somebody else made
		status           string // status and reason of Ready, at the end
		text             string // of what was there, at the end
	}{
		"by an installation":     {there: "app-settings", status: "True UpgradeSucceeded", text: "default"},
		"not by an installation": {install: true, there: "app-settings", status: "False InstallFailed", text: "hand"},
		"by an upgrade":          {install: true, there: "app-extra", status: "True UpgradeSucceeded", text: "more"},
		"not by an upgrade":      {upgrade: true, there: "app-extra", status: "False UpgradeFailed", text: "hand"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			check(t, api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named(ns, c.there), Data: map[string]string{"text": "hand"}}))
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "extra.yaml": extraTemplate}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Install, s.Upgrade = &v2.Install{DisableTakeOwnership: c.install}, &v2.Upgrade{DisableTakeOwnership: c.upgrade}
			})
			status, reason, _ := strings.Cut(c.status, " ")
			if reason != v2.InstallFailedReason {
				ready(t, key, v2.InstallSucceededReason)
				update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"extra": "more"}) })
			}
			obj := until(t, key, "Ready", status, reason)
			if got := message(obj, "Ready"); strings.Contains(got, refused) != (status == "False") {
				t.Errorf("Ready says %q", got)
			}
			if got := settings(t, ns, c.there)["text"]; got != c.text {
				t.Errorf("the text is %q, want %q", got, c.text)
			}
		})
	}
}

func TestValuesArePreserved(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		preserve bool
		want     string
	}{
		"preserved": {true, "one"},
		"reset":     {false, "default"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate, "extra.yaml": extraTemplate}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Values, s.Upgrade = jsonOf(map[string]any{"text": "one"}), &v2.Upgrade{PreserveValues: c.preserve}
			})
			ready(t, key, v2.InstallSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"extra": "more"}) })
			obj := ready(t, key, v2.UpgradeSucceededReason)
			if got := settings(t, ns, "app-settings")["text"]; got != c.want {
				t.Errorf("the text is %q, want %q", got, c.want)
			}
			if got := settings(t, ns, "app-extra")["text"]; got != "more" {
				t.Errorf("the new value is %q, want more", got)
			}
			// What is preserved does not count as a change.
			if again := requestReconcile(t, key, "once", nil); again.Status.History.Latest().Version != obj.Status.History.Latest().Version {
				t.Errorf("it was upgraded again: %+v", again.Status.History.Latest())
			}
		})
	}
}

// requestReconcile asks for a reconciliation, and waits until it was begun.
func requestReconcile(t *testing.T, key client.ObjectKey, token string, more map[string]string) *v2.HelmRelease {
	t.Helper()
	update(t, key, func(obj *v2.HelmRelease) {
		obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: token}
		for name, value := range more {
			obj.Annotations[name] = value
		}
	})
	var obj *v2.HelmRelease
	eventually(t, "the request is to be handled", func() error {
		if obj = get(t, key); obj.Status.LastHandledReconcileAt != token {
			return fmt.Errorf("handled %q", obj.Status.LastHandledReconcileAt)
		}
		return nil
	})
	return obj
}

func TestCleanupOfAFailedUpgrade(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	files := deploymentChart("1.0.0")
	files["templates/extra.yaml"] = extraTemplate
	for name, c := range map[string]struct{ cleanup bool }{"cleaned up": {true}, "left": {false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Timeout, s.Upgrade = within(2*time.Second), &v2.Upgrade{CleanupOnFail: c.cleanup}
			})
			ready(t, key, v2.InstallSucceededReason)
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"extra": "more", "replicas": 1}) })
			until(t, key, "Ready", "False", v2.UpgradeFailedReason)
			if got := settings(t, ns, "app-extra") == nil; got != c.cleanup {
				t.Errorf("what the upgrade made is gone: %t, want %t", got, c.cleanup)
			}
			if settings(t, ns, "app-settings") == nil {
				t.Error("what was there before the upgrade is gone")
			}
		})
	}
}

func TestMaxHistory(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for name, c := range map[string]struct {
		limit *int
		want  string
	}{
		"default": {nil, "3 superseded, 4 superseded, 5 superseded, 6 superseded, 7 deployed"},
		"two":     {new(2), "6 superseded, 7 deployed"},
		"all":     {new(0), "1 superseded, 2 superseded, 3 superseded, 4 superseded, 5 superseded, 6 superseded, 7 deployed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := space(t)
			p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.MaxHistory = c.limit })
			ready(t, key, v2.InstallSucceededReason)
			for i := range 6 {
				update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": fmt.Sprint(i)}) })
				ready(t, key, v2.UpgradeSucceededReason)
			}
			if got := strings.Join(records(t, ns), ", "); got != c.want {
				t.Errorf("the records are %q, want %q", got, c.want)
			}
		})
	}
}

func TestResetRequest(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", deploymentChart("1.0.0"))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.Timeout, s.Values = within(time.Second), replicas(1).Values })
	obj := until(t, key, "Stalled", "True", "RetriesExceeded")
	if h := obj.Status.History.Latest(); h.Version != 1 || obj.Status.InstallFailures != 1 {
		t.Fatalf("the status is %+v", obj.Status)
	}
	// A token that is not the one of the request is noted, and nothing else.
	obj = requestReconcile(t, key, "first", map[string]string{v2.ResetRequestAnnotation: "other"})
	if obj.Status.LastHandledResetAt != "other" || obj.Status.InstallFailures != 1 || obj.Status.History.Latest().Version != 1 {
		t.Errorf("the status is %+v", obj.Status)
	}
	requestReconcile(t, key, "second", map[string]string{v2.ResetRequestAnnotation: "second"})
	eventually(t, "it is to be tried again", func() error {
		if obj = get(t, key); obj.Status.History.Latest().Version != 2 || obj.Status.UpgradeFailures != 1 {
			return fmt.Errorf("the status is %+v", obj.Status)
		}
		return nil
	})
	obj = until(t, key, "Stalled", "True", "RetriesExceeded")
	if obj.Status.LastHandledResetAt != "second" || obj.Status.InstallFailures != 0 || obj.Status.UpgradeFailures != 1 {
		t.Errorf("the status is %+v", obj.Status)
	}
}

func TestDefinitionPolicies(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for i, c := range []struct {
		name             string
		install, upgrade v2.CRDsPolicy
		installed, after string // notes on the definition; - when there is none
		added            string // on one that the second chart adds
	}{
		{"by default", "", "", "1.0.0", "1.0.0", "-"},
		{"skipped, then created", v2.Skip, v2.Create, "-", "2.0.0", "2.0.0"},
		{"created, not replaced", v2.Create, v2.Create, "1.0.0", "1.0.0", "2.0.0"},
		{"created, then replaced", v2.Create, v2.CreateReplace, "1.0.0", "2.0.0", "2.0.0"},
		{"skipped", v2.Skip, v2.Skip, "-", "-", "-"},
		{"created or replaced, then skipped", v2.CreateReplace, v2.Skip, "1.0.0", "1.0.0", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ns, old, added := space(t), fmt.Sprintf("policyold%d", i), fmt.Sprintf("policynew%d", i)
			p.publish(t, ns, "app", definingChart("1.0.0", old))
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.Install, s.Upgrade = &v2.Install{CRDs: c.install}, &v2.Upgrade{CRDs: c.upgrade}
			})
			ready(t, key, v2.InstallSucceededReason)
			if got := definedBy(t, old); got != c.installed {
				t.Errorf("after the installation the definition is of %s, want %s", got, c.installed)
			}
			p.publish(t, ns, "app", definingChart("2.0.0", old, added))
			obj := ready(t, key, v2.UpgradeSucceededReason)
			if got := definedBy(t, old); got != c.after {
				t.Errorf("after the upgrade the definition is of %s, want %s", got, c.after)
			}
			if got := definedBy(t, added); got != c.added {
				t.Errorf("the added definition is of %s, want %s", got, c.added)
			}
			// Definitions stay, as what is of their kind would go with them.
			check(t, api.Delete(t.Context(), obj))
			gone(t, obj)
			if got := definedBy(t, old); got != c.after {
				t.Errorf("after the deletion the definition is of %s, want %s", got, c.after)
			}
		})
	}
}

// definingChart returns a chart with definitions that have its version as a note.
func definingChart(version string, names ...string) map[string]string {
	files := web(version, map[string]string{"cm.yaml": configMapTemplate})
	for _, name := range names {
		text := fmt.Sprintf(definition, name, strings.ToUpper(name[:1])+name[1:])
		files["crds/"+name+".yaml"] = strings.Replace(text, "metadata: {", fmt.Sprintf("metadata: {annotations: {note: %q}, ", version), 1)
	}
	return files
}

func definedBy(t *testing.T, name string) string {
	t.Helper()
	found := &apiextensionsv1.CustomResourceDefinition{}
	err := api.Get(t.Context(), client.ObjectKey{Name: name + "s.test.peyk.dev"}, found)
	if apierrors.IsNotFound(err) {
		return "-"
	}
	check(t, err)
	return found.Annotations["note"]
}

func TestChartWithADependencyInAFolder(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate})
	files["Chart.yaml"] += "dependencies:\n- {name: part, version: 1.x, repository: \"file://../part\", condition: part.enabled}\n"
	files["charts/part/Chart.yaml"] = "apiVersion: v2\nname: part\nversion: 1.2.3\n"
	files["charts/part/values.yaml"] = "text: own\nenabled: true\n"
	files["charts/part/templates/cm.yaml"] = strings.ReplaceAll(configMapTemplate, "-settings", "-part")
	p.publish(t, ns, "app", files)
	key := release(t, ns, "app", nil)
	ready(t, key, v2.InstallSucceededReason)
	expectSettings(t, ns, "app-part", "own")
	update(t, key, func(obj *v2.HelmRelease) {
		obj.Spec.Values = jsonOf(map[string]any{"part": map[string]any{"text": "given"}})
	})
	ready(t, key, v2.UpgradeSucceededReason)
	expectSettings(t, ns, "app-part", "given")
	update(t, key, func(obj *v2.HelmRelease) {
		obj.Spec.Values = jsonOf(map[string]any{"part": map[string]any{"enabled": false}})
	})
	eventually(t, "the dependency is to go", func() error {
		if settings(t, ns, "app-part") != nil {
			return errors.New("it is still there")
		}
		return nil
	})
}
