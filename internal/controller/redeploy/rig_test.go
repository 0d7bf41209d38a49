package redeploy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/peyk/peyk/internal/controller/redeploy"
	"github.com/peyk/peyk/internal/operator"
	"github.com/peyk/peyk/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

const (
	// quiet is the debounce of the tests.
	quiet = 400 * time.Millisecond
	// rolled is the annotation of the pod template that makes other pods.
	rolled = "pack-operator.k8s.kubit.ir/redeployed-for"
)

// rig is the controller in a cluster, with a namespace of the test's own.
type rig struct {
	*testing.T
	ns     string
	client client.Client
	stop   func()

	mu   sync.Mutex
	said []string
}

// Eventf implements the recorder of events.
func (r *rig) Eventf(regarding, _ runtime.Object, _, reason, _, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := ""
	if obj, ok := regarding.(metav1.Object); ok {
		name = obj.GetName()
	}
	r.said = append(r.said, name+" "+reason+": "+fmt.Sprintf(note, args...))
}

// heard counts the events with a part.
func (r *rig) heard(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, said := range r.said {
		if strings.Contains(said, part) {
			n++
		}
	}
	return n
}

var definitions sync.Once

// newCluster returns a rig without the controller.
func newCluster(t *testing.T) *rig {
	t.Helper()
	scheme, err := operator.NewScheme()
	must(t, err)
	r := &rig{T: t}
	r.client, err = client.New(plane.Config, client.Options{Scheme: scheme})
	must(t, err)
	definitions.Do(func() { must(t, testkit.Define(t.Context(), r.client)) })
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rd-"}}
	must(t, r.client.Create(t.Context(), space))
	r.ns = space.Name
	return r
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := newCluster(t)
	r.start()
	return r
}

func (r *rig) start() {
	r.Helper()
	mgr, err := ctrl.NewManager(plane.Config, ctrl.Options{
		Scheme: r.client.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	})
	must(r.T, err)
	must(r.T, redeploy.Setup(mgr, redeploy.Deps{Events: r, Quiet: quiet, Concurrent: 2}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	r.stop = sync.OnceFunc(func() { cancel(); must(r.T, <-done) })
	r.Cleanup(r.stop)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon polls until check returns nil.
func soon(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// put creates a ConfigMap or Secret, or gives it other data.
func (r *rig) put(kind, name, value string) {
	r.Helper()
	meta := metav1.ObjectMeta{Namespace: r.ns, Name: name}
	var obj client.Object = &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": value}}
	if kind == "secret" {
		obj = &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"key": []byte(value)}}
	}
	err := r.client.Create(r.Context(), obj)
	if apierrors.IsAlreadyExists(err) {
		err = r.client.Update(r.Context(), obj)
	}
	must(r.T, err)
}

func podTemplate() (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	labels := map[string]string{"app": "test"}
	return &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "test", Image: "nginx"}}},
	}
}

// deploy creates a Deployment that watches what the annotation says; labels are those of a Pack, or none.
func (r *rig) deploy(name, annotation string, labels map[string]string) client.Object {
	r.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: name, Labels: labels}}
	if annotation != "" {
		d.Annotations = map[string]string{redeploy.Annotation: annotation}
	}
	d.Spec.Selector, d.Spec.Template = podTemplate()
	must(r.T, r.client.Create(r.Context(), d))
	return d
}

// watched waits until the state of a workload holds the objects, and nothing else.
func (r *rig) watched(obj client.Object, refs ...string) {
	r.Helper()
	soon(r.T, obj.GetName()+" watches", func() error {
		must(r.T, r.client.Get(r.Context(), client.ObjectKeyFromObject(obj), obj))
		state := obj.GetAnnotations()["pack-operator.k8s.kubit.ir/watched"]
		missing := strings.Count(state, ":") != len(refs)
		for _, ref := range refs {
			missing = missing || !strings.Contains(state, `"`+ref+`":"`)
		}
		if missing {
			return fmt.Errorf("state %q, want %v", state, refs)
		}
		return nil
	})
}

// rolls waits until the pods of a workload were rolled so often, and checks that they are not rolled once more.
func (r *rig) rolls(obj client.Object, want int) {
	r.Helper()
	soon(r.T, obj.GetName()+" rolls", func() error {
		if got := r.times(obj); got < want {
			return fmt.Errorf("%d times, want %d", got, want)
		}
		return nil
	})
	r.quiet(obj, want)
}

// quiet checks for some time that the pods of a workload were rolled so often.
func (r *rig) quiet(obj client.Object, want int) {
	r.Helper()
	for end := time.Now().Add(4 * quiet); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got := r.times(obj); got != want {
			r.Fatalf("%s was rolled %d times, want %d", obj.GetName(), got, want)
		}
	}
}

// times is how often the pods of a workload were rolled: the cluster keeps each template that it had.
func (r *rig) times(obj client.Object) int {
	r.Helper()
	must(r.T, r.client.Get(r.Context(), client.ObjectKeyFromObject(obj), obj))
	var templates []metav1.ObjectMeta
	if _, ok := obj.(*appsv1.Deployment); ok {
		list := &appsv1.ReplicaSetList{}
		must(r.T, r.client.List(r.Context(), list, client.InNamespace(obj.GetNamespace())))
		for i := range list.Items {
			templates = append(templates, list.Items[i].ObjectMeta)
		}
	} else {
		list := &appsv1.ControllerRevisionList{}
		must(r.T, r.client.List(r.Context(), list, client.InNamespace(obj.GetNamespace())))
		for i := range list.Items {
			templates = append(templates, list.Items[i].ObjectMeta)
		}
	}
	n := 0
	for i := range templates {
		if metav1.IsControlledBy(&templates[i], obj) {
			n++
		}
	}
	return max(0, n-1)
}

func templateOf(obj client.Object) (corev1.PodTemplateSpec, error) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return o.Spec.Template, nil
	case *appsv1.StatefulSet:
		return o.Spec.Template, nil
	case *appsv1.DaemonSet:
		return o.Spec.Template, nil
	}
	return corev1.PodTemplateSpec{}, errors.New("no workload")
}
