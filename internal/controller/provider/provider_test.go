package provider

import (
	"fmt"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// bench is a controller with the Providers of a cluster.
type bench struct {
	*Controller
	events []string
	mended []string
}

func (b *bench) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	b.events = append(b.events, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta3.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b := &bench{}
	b.Controller = &Controller{
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		deps:   Deps{Events: b, Mended: func(name types.NamespacedName) { b.mended = append(b.mended, name.String()) }},
	}
	return b
}

func provider(name, kind string) *v1beta3.Provider {
	return &v1beta3.Provider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, Finalizers: []string{notificationv1.NotificationFinalizer}},
		Spec:       v1beta3.ProviderSpec{Type: kind, Address: "https://x/y"},
	}
}

func TestProviders(t *testing.T) {
	suspended := provider("suspended", "nats")
	suspended.Spec.Suspend = true
	for _, tt := range []struct {
		obj  *v1beta3.Provider
		want []string
	}{
		{provider("right", "slack"), nil},
		{provider("unknown", "nats"), []string{"Warning InvalidConfig", "nats", "not supported by this version", "slack"}},
		{provider("secretless", "generic-hmac"), []string{"spec.secretRef"}},
		{suspended, nil},
	} {
		t.Run(tt.obj.Name, func(t *testing.T) {
			b := newBench(t, tt.obj)
			key := client.ObjectKeyFromObject(tt.obj)
			if _, err := b.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
				t.Fatal(err)
			}
			if (len(b.events) == 1) != (tt.want != nil) {
				t.Fatalf("told %v", b.events)
			}
			for _, part := range tt.want {
				if !strings.Contains(b.events[0], part) {
					t.Errorf("%q is not in %s", part, b.events[0])
				}
			}
			if (len(b.mended) == 1) == tt.obj.Spec.Suspend {
				t.Errorf("mended %v", b.mended)
			}
			got := &v1beta3.Provider{}
			if err := b.client.Get(t.Context(), key, got); err != nil || len(got.Finalizers) != 0 {
				t.Errorf("finalizers %v, %v", got.Finalizers, err)
			}
		})
	}
}

func TestSecretsWakeTheirProviders(t *testing.T) {
	ref := &meta.LocalObjectReference{Name: "changed"}
	a, b, c, d := provider("a", "slack"), provider("b", "slack"), provider("c", "slack"), provider("d", "slack")
	a.Spec.SecretRef, b.Spec.CertSecretRef, c.Spec.ProxySecretRef = ref, ref, ref
	a.Spec.CertSecretRef = ref
	elsewhere := provider("e", "slack")
	elsewhere.Namespace, elsewhere.Spec.SecretRef = "else", ref
	bench := newBench(t, a, b, c, d, elsewhere)
	var got []string
	for _, r := range bench.users(t.Context(), &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "changed"}}) {
		got = append(got, r.String())
	}
	if diff := cmp.Diff([]string{"team/a", "team/b", "team/c"}, got); diff != "" {
		t.Error(diff)
	}
}
