package pack

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/reconcile"
)

// Whatever is asked of a suspended Pack, nobody acts for it, and nothing is written to it. A pass over one that is not begins with
// the question who acts, which is refused here.
func TestSuspend(t *testing.T) {
	for name, ask := range map[string]func(*packv1.Pack){
		"to install": func(p *packv1.Pack) { p.Status, p.Finalizers = packv1.PackStatus{}, nil },
		"to upgrade": func(p *packv1.Pack) { p.Generation, p.Spec.Chart.Version = 2, new("9.9.9") },
		"to repair":  func(*packv1.Pack) {},
		"to restart": func(p *packv1.Pack) { p.Annotations = map[string]string{packv1.RestartAnnotation: "now"} },
		"to sync":    func(p *packv1.Pack) { p.Annotations = map[string]string{reconcile.RequestAnnotation: "now"} },
	} {
		t.Run(name, func(t *testing.T) {
			obj := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web", UID: "1", Generation: 1, Finalizers: []string{packv1.PackFinalizer}}}
			obj.Spec = packv1.PackSpec{Chart: packv1.PackChart{Name: "simplepack"}, Suspend: true}
			obj.Status = packv1.PackStatus{Phase: packv1.PackApplied, ReleaseRevision: 1, ObservedGeneration: 1}
			ask(obj)
			scheme := runtime.NewScheme()
			if err := errors.Join(corev1.AddToScheme(scheme), packv1.AddToScheme(scheme)); err != nil {
				t.Fatal(err)
			}
			cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj).WithStatusSubresource(obj).Build()
			acted := 0
			c := &Controller{
				reader: cluster, direct: cluster, history: cluster, clock: clock.RealClock{}, jobs: job.NewBoard(patience),
				memos: map[types.NamespacedName]memo{}, uses: map[types.NamespacedName]map[string]bool{},
				actor: func(string) (*actor, error) { acted++; return nil, errors.New("the account has no rights") },
			}
			runner := reconcile.NewRunner(c.kind(), reconcile.Options{Client: cluster})
			pass := func() *packv1.Pack {
				t.Helper()
				if _, err := runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)}); err != nil {
					t.Fatal(err)
				}
				live := &packv1.Pack{}
				if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(obj), live); err != nil {
					t.Fatal(err)
				}
				return live
			}
			before := &packv1.Pack{}
			if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(obj), before); err != nil {
				t.Fatal(err)
			}
			live := pass()
			if acted > 0 || live.ResourceVersion != before.ResourceVersion {
				t.Fatalf("somebody acted %d times, and it became %+v", acted, live)
			}
			live.Spec.Suspend = false
			live.Generation++
			if err := cluster.Update(t.Context(), live); err != nil {
				t.Fatal(err)
			}
			ready := apimeta.FindStatusCondition(pass().Status.Conditions, reconcile.Ready)
			if acted == 0 || ready == nil || !strings.Contains(ready.Message, "the account has no rights") {
				t.Errorf("resumed: somebody acted %d times, Ready is %+v", acted, ready)
			}
		})
	}
}
