package install_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/install"
)

// record keeps what an installation says.
type record struct{ lines []string }

func (r *record) Action(format string, args ...any)  { r.add("action", format, args) }
func (r *record) Waiting(format string, args ...any) { r.add("waiting", format, args) }
func (r *record) Success(format string, args ...any) { r.add("success", format, args) }

func (r *record) add(kind, format string, args []any) {
	r.lines = append(r.lines, kind+": "+fmt.Sprintf(format, args...))
}

func (r *record) has(part string) bool {
	return slices.ContainsFunc(r.lines, func(line string) bool { return strings.Contains(line, part) })
}

// cluster is a fake API server that establishes definitions, and whose Deployments are as deployed says.
func cluster(t *testing.T, deployed func(*appsv1.Deployment), existing ...client.Object) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(existing...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if err := c.Get(ctx, key, obj, opts...); err != nil {
				return err
			}
			if d, ok := obj.(*appsv1.Deployment); ok {
				deployed(d)
			}
			if u, ok := obj.(*unstructured.Unstructured); ok && u.GetKind() == "CustomResourceDefinition" {
				return unstructured.SetNestedSlice(u.Object, []any{map[string]any{"type": "Established", "status": "True"}}, "status", "conditions")
			}
			return nil
		},
	}).Build()
}

func ready(d *appsv1.Deployment) {
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
}

func TestInstallTwice(t *testing.T) {
	c := cluster(t, ready)
	for _, outcome := range []string{"created", "unchanged"} {
		said := &record{}
		installer := install.Installer{Client: c, Progress: said, Poll: time.Millisecond}
		if err := installer.Install(t.Context(), objects(t, everything)); err != nil {
			t.Fatal(err)
		}
		for _, object := range objects(t, everything) {
			if want := fmt.Sprintf("success: %s/%s %s", object.GetKind(), object.GetName(), outcome); !slices.Contains(said.lines, want) {
				t.Errorf("nobody said %q", want)
			}
		}
		if !said.has("Deployment/peyk is available") {
			t.Errorf("nobody said that the Deployment is available: %q", said.lines)
		}
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	checked := 0
	c := interceptor.NewClient(cluster(t, ready).(client.WithWatch), interceptor.Funcs{
		Apply: func(_ context.Context, _ client.WithWatch, _ runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			var o client.ApplyOptions
			o.ApplyOptions(opts)
			if !slices.Equal(o.DryRun, []string{metav1.DryRunAll}) {
				t.Errorf("applied with dryRun %q, want All", o.DryRun)
			}
			checked++
			return nil
		},
	})
	said := &record{}
	if err := (&install.Installer{Client: c, Progress: said}).DryRun(t.Context(), objects(t, everything)); err != nil {
		t.Fatal(err)
	}
	for _, object := range objects(t, everything) {
		if want := fmt.Sprintf("success: %s/%s would be created", object.GetKind(), object.GetName()); !slices.Contains(said.lines, want) {
			t.Errorf("nobody said %q", want)
		}
	}
	// The server cannot check what is to be in a namespace that is not there.
	definitions, err := crds.All()
	if err != nil {
		t.Fatal(err)
	}
	if want := len(definitions) + 7; checked != want {
		t.Errorf("the API server was asked about %d objects, want %d: the namespace, the definitions, the roles and who calls", checked, want)
	}
}

func TestWhyItIsNotAvailable(t *testing.T) {
	pod := func(status corev1.PodStatus) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "peyk-1", Namespace: "peyk-system", Labels: map[string]string{"app.kubernetes.io/name": "peyk"}},
			Status:     status,
		}
	}
	waiting := func(reason, message, lastWords string) *corev1.Pod {
		c := corev1.ContainerStatus{Image: "example.org/peyk:1", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
		}}
		if lastWords != "" {
			c.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 2, Message: "first\n" + lastWords + "\n"}
		}
		return pod(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}})
	}
	cases := map[string]struct {
		pod      *corev1.Pod
		deployed func(*appsv1.Deployment)
		want     []string
		timeout  bool
	}{
		"image cannot be pulled": {pod: waiting("ImagePullBackOff", "not found", ""), want: []string{"example.org/peyk:1 cannot be pulled", "--image", "not found"}},
		"it crashes":             {pod: waiting("CrashLoopBackOff", "", "no permission"), want: []string{"exit code 2", "last words: no permission", "kubectl -n peyk-system logs peyk-1"}},
		"no node": {
			pod:  pod(corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}}),
			want: []string{"not available in time", "0/1 nodes are available"}, timeout: true,
		},
		"not ready": {
			pod:  pod(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}),
			want: []string{"runs but is not ready"}, timeout: true,
		},
		"pod refused": {
			pod: pod(corev1.PodStatus{}),
			deployed: func(d *appsv1.Deployment) {
				d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "exceeded quota"}}
			},
			want: []string{"cannot be created: exceeded quota"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			if c.timeout {
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			deployed := c.deployed
			if deployed == nil {
				deployed = func(*appsv1.Deployment) {}
			}
			installer := install.Installer{Client: cluster(t, deployed, c.pod), Progress: &record{}, Poll: time.Millisecond}
			err := installer.Install(ctx, objects(t, everything))
			if err == nil {
				t.Fatal("the installation succeeded")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one that says %q", err, want)
				}
			}
			if got := errors.Is(err, context.DeadlineExceeded); got != c.timeout {
				t.Errorf("the error is a timeout: %v, want %v", got, c.timeout)
			}
		})
	}
}
