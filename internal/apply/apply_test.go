package apply

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestInventoryID(t *testing.T) {
	for text, id := range map[string]ObjectID{
		"base_web_apps_Deployment":                            {"base", "web", "apps", "Deployment"},
		"_base__Namespace":                                    {"", "base", "", "Namespace"},
		"_system__node_rbac.authorization.k8s.io_ClusterRole": {"", "system:node", "rbac.authorization.k8s.io", "ClusterRole"},
	} {
		if got := id.InventoryID(); got != text {
			t.Errorf("InventoryID() = %q, want %q", got, text)
		}
		got, err := ParseInventoryID(text)
		if err != nil || got != id {
			t.Errorf("ParseInventoryID(%q) = %v, %v, want %v", text, got, err, id)
		}
	}
	for _, text := range []string{"", "a", "a_b", "a_b_c"} {
		if _, err := ParseInventoryID(text); err == nil {
			t.Errorf("ParseInventoryID(%q): want an error", text)
		}
	}
}

func TestStages(t *testing.T) {
	var objects []*unstructured.Unstructured
	for _, kind := range []string{"Deployment", "ValidatingWebhookConfiguration", "Widget", "ConfigMap", "StorageClass", "Namespace", "CustomResourceDefinition"} {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
		u.SetName("x")
		objects = append(objects, u)
	}
	var got [][]string
	for _, stage := range stages(objects) {
		var kinds []string
		for _, u := range stage {
			kinds = append(kinds, u.GetKind())
		}
		got = append(got, kinds)
	}
	want := [][]string{
		{"CustomResourceDefinition", "Namespace"},
		{"StorageClass"},
		{"ConfigMap", "Deployment", "Widget", "ValidatingWebhookConfiguration"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web, other: x}
  managedFields:
  - manager: kustomize-controller
    operation: Apply
    fieldsV1:
      f:metadata: {f:labels: {f:app: {}}}
      f:spec:
        f:replicas: {}
        f:template: {f:spec: {f:containers: {'k:{"name":"web"}': {.: {}, f:image: {}, f:ports: {'k:{"containerPort":80,"protocol":"TCP"}': {.: {}, f:containerPort: {}}}}}}}
  - manager: kubectl
    operation: Apply
    fieldsV1: {f:spec: {f:paused: {}, f:template: {f:spec: {f:containers: {'k:{"name":"sidecar"}': {.: {}, f:image: {}}}}}}}
spec:
  replicas: 1
  paused: false
  template:
    spec:
      containers:
      - {name: sidecar, image: s}
      - {name: web, image: a, ports: [{containerPort: 80, protocol: TCP}]}
status: {replicas: 1}
`

func TestLiveHash(t *testing.T) {
	hash := func(u *unstructured.Unstructured) Hash {
		own, ok := applied(managedFields(u), "kustomize-controller")
		if !ok {
			t.Fatal("the manager has applied nothing")
		}
		return own.hash(u)
	}
	base := hash(object(t, deployment))
	set := func(value any, path ...string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) {
			if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
				t.Fatal(err)
			}
		}
	}
	container := func(i int, field, value string) func(*unstructured.Unstructured) {
		return func(u *unstructured.Unstructured) {
			list, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
			list[i].(map[string]any)[field] = value
			set(list, "spec", "template", "spec", "containers")(u)
		}
	}
	for name, tc := range map[string]struct {
		change func(*unstructured.Unstructured)
		drift  bool
	}{
		"status":                        {set(int64(2), "status", "replicas"), false},
		"a label of somebody else":      {set("y", "metadata", "labels", "other"), false},
		"a field of another manager":    {set(true, "spec", "paused"), false},
		"another container":             {container(0, "image", "t"), false},
		"an owned field":                {set(int64(5), "spec", "replicas"), true},
		"an owned label":                {set("z", "metadata", "labels", "app"), true},
		"a field of an owned list item": {container(1, "image", "b"), true},
		"an owned field taken over": {func(u *unstructured.Unstructured) {
			fields := u.GetManagedFields()
			fields[0].FieldsV1.Raw = []byte(`{"f:metadata":{"f:labels":{"f:app":{}}}}`)
			u.SetManagedFields(fields)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			u := object(t, deployment)
			tc.change(u)
			if got := hash(u) != base; got != tc.drift {
				t.Errorf("drift %t, want %t", got, tc.drift)
			}
		})
	}
	if _, ok := applied(managedFields(object(t, deployment)), "nobody"); ok {
		t.Error("somebody who applied nothing owns something")
	}
}

func TestOwnedByOther(t *testing.T) {
	u := object(t, deployment)
	for path, want := range map[string]bool{
		"spec/paused":                           true,
		"spec/replicas":                         false,
		"spec/template/spec/containers/0/image": true,
		"spec/template/spec/containers/1/image": false,
		"spec/template/spec/containers/2/image": false,
		"spec/template/spec/containers/x/image": false,
	} {
		if got := OwnedByOther(u, "kustomize-controller", strings.Split(path, "/")); got != want {
			t.Errorf("%s is somebody else's: %t, want %t", path, got, want)
		}
	}
}

func TestRepairDelayGrowsToFiveMinutes(t *testing.T) {
	want := []time.Duration{0, 0, 0, 2 * time.Second, 6 * time.Second, 18 * time.Second, 54 * time.Second, 162 * time.Second, 5 * time.Minute}
	for n, d := range want {
		if got := repairDelay(n); got != d {
			t.Errorf("repairDelay(%d) = %s, want %s", n, got, d)
		}
	}
	if got := repairDelay(1000); got != 5*time.Minute {
		t.Errorf("repairDelay(1000) = %s", got)
	}
}

func TestConflictErrorNamesBoth(t *testing.T) {
	var err error = &ConflictError{ObjectID{"base", "web", "apps", "Deployment"}, Owner{"Kustomization", "a", "b"}}
	if _, ok := errors.AsType[*ConflictError](err); !ok || err.Error() != "Deployment/base/web belongs to Kustomization/a/b: remove it from one of the two" {
		t.Errorf("got %v", err)
	}
}

// A defect that one object brings to light is that object's failure.
func TestAPanicIsOneObjectsFailure(t *testing.T) {
	e := New(nil, slog.New(slog.DiscardHandler))
	items := []*item{{change: Change{ID: ObjectID{Kind: "Good", Name: "a"}}}, {change: Change{ID: ObjectID{Kind: "Bad", Name: "b"}}}}
	var done atomic.Int32
	err := e.each(t.Context(), items, func(_ context.Context, it *item) error {
		if it.change.ID.Kind == "Bad" {
			panic("a defect")
		}
		done.Add(1)
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "Bad") || done.Load() != 1 {
		t.Errorf("error %v after %d good objects, want one that names the bad one", err, done.Load())
	}
}
