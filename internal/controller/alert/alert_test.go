package alert

import (
	"fmt"
	"strings"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/tenancy"
)

type events []string

func (e *events) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	*e = append(*e, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func TestAlerts(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*v1beta3.AlertSpec)
		policy tenancy.Policy
		want   []string
	}{
		"right":              {func(*v1beta3.AlertSpec) {}, tenancy.Policy{}, nil},
		"a broken inclusion": {func(s *v1beta3.AlertSpec) { s.InclusionList = []string{".", "("} }, tenancy.Policy{}, []string{"Warning InvalidConfig", "spec.inclusionList[1]"}},
		"a broken exclusion": {func(s *v1beta3.AlertSpec) { s.ExclusionList = []string{"["} }, tenancy.Policy{}, []string{"spec.exclusionList[0]"}},
		"suspended":          {func(s *v1beta3.AlertSpec) { s.InclusionList, s.Suspend = []string{"("}, true }, tenancy.Policy{}, nil},
		"another namespace":  {func(s *v1beta3.AlertSpec) { s.EventSources[0].Namespace = "else" }, tenancy.Policy{}, nil},
		"another namespace under lockdown": {func(s *v1beta3.AlertSpec) { s.EventSources[0].Namespace = "else" },
			tenancy.Policy{NoCrossNamespaceRefs: true}, []string{"spec.eventSources[0]", "else"}},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1beta3.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			obj := &v1beta3.Alert{
				ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "all", Finalizers: []string{notificationv1.NotificationFinalizer, "else/x"}},
				Spec:       v1beta3.AlertSpec{EventSources: []notificationv1.CrossNamespaceObjectReference{{Kind: "Kustomization", Name: "*"}}},
			}
			tt.change(&obj.Spec)
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj).Build()
			var got events
			key := client.ObjectKeyFromObject(obj)
			_, err := (&Controller{client: c, deps: Deps{Events: &got, Policy: tt.policy}}).Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
			if err != nil {
				t.Fatal(err)
			}
			if (len(got) == 1) != (tt.want != nil) {
				t.Fatalf("told %v", got)
			}
			for _, part := range tt.want {
				if !strings.Contains(got[0], part) {
					t.Errorf("%q is not in %s", part, got[0])
				}
			}
			if err := c.Get(t.Context(), key, obj); err != nil || len(obj.Finalizers) != 1 {
				t.Errorf("finalizers %v, %v: only that of older versions goes", obj.Finalizers, err)
			}
		})
	}
}
