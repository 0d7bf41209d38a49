package helmrelease

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/tenancy"
)

const thingTemplate = `
apiVersion: test.peyk.dev/v1
kind: %s
metadata:
  name: {{ .Release.Name }}-thing
  annotations: {helm.sh/hook: "post-install,post-upgrade"}
spec: {text: {{ .Values.text }}}
`

// TestHookOfAKindInTheTemplates has a definition among the objects of a release, and a hook that is of it.
func TestHookOfAKindInTheTemplates(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	for i, c := range []struct {
		name                 string
		kept, wait, byClient bool
	}{
		{"client kept", true, true, false},
		{"client not kept", false, true, false},
		{"client kept, no wait", true, false, false},
		{"client not kept, no wait", false, false, false},
		{"client not kept, no wait, applied by it", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ns, kind := space(t), fmt.Sprintf("Hooked%d", i)
			files := web("1.0.0", map[string]string{
				"definition.yaml": fmt.Sprintf(definition, strings.ToLower(kind), kind), "thing.yaml": fmt.Sprintf(thingTemplate, kind),
			})
			p.publish(t, ns, "app", files)
			key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) {
				s.PersistentClient = new(c.kept)
				s.Install = &v2.Install{DisableWait: !c.wait, ServerSideApply: new(!c.byClient), Remediation: &v2.InstallRemediation{RemediateLastFailure: new(false)}}
			})
			obj := ready(t, key, v2.InstallSucceededReason)
			if h := obj.Status.History.Latest(); h.Version != 1 {
				t.Errorf("it took more than one attempt: %+v", h)
			}
			expectThing(t, kind, ns, "default")
			update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
			ready(t, key, v2.UpgradeSucceededReason)
			expectThing(t, kind, ns, "two")
		})
	}
}

func expectThing(t *testing.T, kind, namespace, text string) {
	t.Helper()
	thing := &unstructured.Unstructured{}
	thing.SetGroupVersionKind(schema.GroupVersionKind{Group: "test.peyk.dev", Version: "v1", Kind: kind})
	fresh, err := client.New(plane.Config, client.Options{Scheme: newScheme()})
	check(t, err)
	check(t, fresh.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "app-thing"}, thing))
	if got, _, _ := unstructured.NestedString(thing.Object, "spec", "text"); got != text {
		t.Errorf("the text is %q, want %q", got, text)
	}
}

// TestKindThatIsDefinedAnew has a kind that is no longer where it was.
func TestKindThatIsDefinedAnew(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	text := fmt.Sprintf(definition, "moved", "Moved")
	first := defineByHand(t, text)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"thing.yaml": strings.Replace(fmt.Sprintf(thingTemplate, "Moved"), "helm.sh/hook", "note", 1)}))
	key := release(t, ns, "app", func(s *v2.HelmReleaseSpec) { s.PersistentClient = new(false) })
	ready(t, key, v2.InstallSucceededReason)
	expectThing(t, "Moved", ns, "default")
	check(t, api.Delete(t.Context(), first))
	gone(t, first)
	defineByHand(t, strings.Replace(text, "scope: Namespaced", "scope: Cluster", 1))
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
	ready(t, key, v2.UpgradeSucceededReason)
	expectThing(t, "Moved", "", "two")
}

// defineByHand makes a definition, and waits until it is in place.
func defineByHand(t *testing.T, text string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	made := &apiextensionsv1.CustomResourceDefinition{}
	check(t, yaml.Unmarshal([]byte(text), made))
	check(t, api.Create(t.Context(), made))
	gvk := schema.GroupVersionKind{Group: made.Spec.Group, Version: "v1", Kind: made.Spec.Names.Kind}
	eventually(t, "the kind is to be served", func() error {
		fresh, err := client.New(plane.Config, client.Options{Scheme: newScheme()})
		check(t, err)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk)
		if err := fresh.List(t.Context(), list); err != nil {
			return err
		}
		mapping, err := fresh.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
		if err == nil && (mapping.Scope.Name() == "namespace") != (made.Spec.Scope == apiextensionsv1.NamespaceScoped) {
			return errors.New("it is where it was")
		}
		return err
	})
	return made
}
