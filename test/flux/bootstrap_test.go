package flux

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/git/gittest"
)

// A repository that Flux was bootstrapped from is taken over: its controllers are stopped and removed, what it applied is
// kept, and a second bootstrap changes nothing.
func TestBootstrapTakesFluxOver(t *testing.T) {
	work(t)
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "fleet")
	repo.Git("config", "http.receivepack", "true")
	server := gittest.NewHTTPServer(t, root, &gittest.Auth{Username: "git", Password: "s3cret-of-the-test"})
	repo.Commit("main", "flux", map[string]string{
		"clusters/prod/flux-system/gotk-components.yaml": "# flux's controllers\n" + fluxController,
		"clusters/prod/flux-system/kustomization.yaml":   "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [gotk-components.yaml, gotk-sync.yaml]\n",
		"clusters/prod/apps/one.yaml":                    configMap("fleet", "1"),
	})
	available(t)

	args := []string{
		"bootstrap", "git", "--url", server.URL + "/fleet.git", "--username", "git", "--password", "s3cret-of-the-test", "--token-auth",
		"--allow-insecure-http", "--path", "./clusters/prod", "--components-extra=image-reflector-controller,image-automation-controller",
		"--image", "registry.example.org/peyk:v0.0.1",
	}
	out := mustRun(t, "peyk", args...)
	contains(t, out, "✔ committed component and sync manifests", "✔ bootstrap finished")
	if strings.Contains(out, "s3cret-of-the-test") {
		t.Errorf("the output has the password:\n%s", out)
	}
	files := repo.Git("ls-tree", "-r", "--name-only", "main", "clusters/prod/flux-system")
	contains(t, files, "gotk-components.yaml", "gotk-sync.yaml", "kustomization.yaml")
	contains(t, repo.Git("show", "main:clusters/prod/flux-system/gotk-components.yaml"), "kind: CustomResourceDefinition", "image: registry.example.org/peyk:v0.0.1")
	if text := repo.Git("show", "main:clusters/prod/flux-system/gotk-components.yaml"); strings.Contains(text, "s3cret") || strings.Contains(text, "name: source-controller") {
		t.Error("the components hold a secret, or Flux's controllers")
	}
	contains(t, repo.Git("show", "main:clusters/prod/flux-system/kustomization.yaml"), "[gotk-components.yaml, gotk-sync.yaml]")
	if got := value(t, "fleet"); got != "1" {
		t.Errorf("the value that the repository holds is %q in the cluster, want 1", got)
	}
	contains(t, mustRun(t, "flux", "get", "kustomizations", "flux-system"), "True ")

	head := repo.Git("rev-parse", "main")
	contains(t, mustRun(t, "peyk", args...), "✔ component and sync manifests are up to date", "✔ bootstrap finished")
	if again := repo.Git("rev-parse", "main"); again != head {
		t.Errorf("the second bootstrap committed: %s", repo.Git("log", "--oneline", "main"))
	}

	out, code := run(t, "peyk", "bootstrap", "git", "--url", server.URL+"/fleet.git", "--username", "git", "--password", "wrong-password", "--allow-insecure-http",
		"--path", "./clusters/prod", "--image", "registry.example.org/peyk:v0.0.1")
	if code != 1 || strings.Contains(out, "wrong-password") {
		t.Errorf("with a wrong password: exit code %d, want 1, and\n%s", code, out)
	}
}

const fluxController = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: source-controller, namespace: flux-system, labels: {app.kubernetes.io/part-of: flux}}
spec:
  selector: {matchLabels: {app: source-controller}}
  template:
    metadata: {labels: {app: source-controller}}
    spec: {containers: [{name: manager, image: "ghcr.io/fluxcd/source-controller:v1.0.0"}]}
`

// available plays the kubelet, which the control plane lacks: it says that Peyk's Deployment has a pod. The test's own
// operator does its work.
func available(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			deployment := &appsv1.Deployment{}
			if shared.client.Get(ctx, client.ObjectKey{Namespace: "peyk-system", Name: "peyk"}, deployment) != nil {
				continue
			}
			deployment.Status = appsv1.DeploymentStatus{
				ObservedGeneration: deployment.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
				Conditions: []appsv1.DeploymentCondition{{
					Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable", LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now(),
				}},
			}
			_ = shared.client.Status().Update(ctx, deployment)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}
