package diff_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/diff"
)

// merging plays the dry run of an API server: what is applied is what comes back, or the error.
func merging(err error) interceptor.Funcs {
	return interceptor.Funcs{Apply: func(_ context.Context, _ client.WithWatch, _ runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
		return err
	}}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestCompare(t *testing.T) {
	live := []client.Object{
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "base"}, Data: map[string]string{"key": "1"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "base"}, Data: map[string][]byte{"password": []byte("old-secret"), "same": []byte("kept-secret")}},
	}
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: base}\ndata: {password: bmV3LXNlY3JldA==, same: a2VwdC1zZWNyZXQ=}\n"
	cases := map[string]struct {
		object string
		err    error
		want   diff.Action
		report string
	}{
		"same":    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: base}\ndata: {key: '1'}\n", nil, diff.Unchanged, ""},
		"drifted": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: base}\ndata: {key: '2'}\n", nil, diff.Drifted, "\ndata.key\n± value change\n- 1\n+ 2\n\n"},
		"secret":  {secret, nil, diff.Drifted, "\ndata.password\n± value change\n- *** (before)\n+ *** (after)\n\n"},
		"created": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: base}\n", nil, diff.Created, ""},
		"created with its namespace": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: new}\n", apierrors.NewNotFound(corev1.Resource("namespaces"), "new"), diff.Created, "",
		},
		"left alone": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: base, annotations: {kustomize.toolkit.fluxcd.io/reconcile: disabled}}\n", nil, diff.Skipped, "",
		},
		"only made once": {
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: base, labels: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}\n", nil, diff.Unchanged, "",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := &diff.Differ{Client: fake.NewClientBuilder().WithObjects(live...).WithInterceptorFuncs(merging(c.err)).Build(), Manager: "m"}
			change, err := d.Compare(t.Context(), object(t, c.object))
			if err != nil || change.Action != c.want {
				t.Fatalf("action %q, %v; want %q", change.Action, err, c.want)
			}
			var report bytes.Buffer
			if err := change.Write(&report); err != nil || report.String() != c.report {
				t.Errorf("report %q, %v; want %q", report.String(), err, c.report)
			}
		})
	}
}

func TestErrorsHaveNoSecrets(t *testing.T) {
	refused := apierrors.NewBadRequest(`Secret in version "v1" cannot be handled: "top-secret"`)
	d := &diff.Differ{Client: fake.NewClientBuilder().WithInterceptorFuncs(merging(refused)).Build(), Manager: "m"}
	_, err := d.Compare(t.Context(), object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: base}\nstringData: {a: top-secret}\n"))
	if err == nil || strings.Contains(err.Error(), "top-secret") {
		t.Errorf("error %v, want one without the value", err)
	}
}
