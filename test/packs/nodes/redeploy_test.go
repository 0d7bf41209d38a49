package nodes_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/testkit"
)

// TestSampleRedeploys changes the ConfigMap that two of three workloads watch: only those two get other pods.
func TestSampleRedeploys(t *testing.T) {
	dir := filepath.Join(testkit.Samples(t), "extra")
	needImages(t)
	needDefinitions(t)
	pack := newPack("default/test")
	defer remove(t, pack)
	applyFile(t, filepath.Join(dir, "watch-to-redeploy.configmap.yaml"))
	applyFile(t, filepath.Join(dir, "watch-to-redeploy.genpack.pack.yaml"))

	// The sample's selector is a mistake that no API server takes; mended it is applied.
	deployment := filepath.Join(dir, "watch-to-redeploy.deployment.yaml")
	if _, err := kubectl("apply", "-f", deployment); err == nil || !strings.Contains(err.Error(), `unknown field "spec.selector.app"`) {
		t.Errorf("the sample's Deployment: %v, want that its selector is refused", err)
	}
	applyText(t, "default", strings.Replace(readFile(t, deployment), "    app: test\n", "    matchLabels: {app: test}\n", 1))
	defer func() {
		_, err := kubectl("delete", "-f", deployment, "-f", filepath.Join(dir, "watch-to-redeploy.configmap.yaml"))
		check(t, err)
	}()
	ready(t, pack)
	running(t, "default")
	asGolden(t, pack, "samples/watch-to-redeploy.genpack.pack.golden.yaml")
	eventually(t, time.Minute, "notes of what the pods were started with", func() error {
		for _, name := range []string{"test", "test-web"} {
			var d appsv1.Deployment
			if err := cluster.client.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: name}, &d); err != nil {
				return err
			}
			if d.Annotations["pack-operator.k8s.kubit.ir/watched"] == "" {
				return fmt.Errorf("%s has none", name)
			}
		}
		return nil
	})

	before := podsByWorkload(t)
	_, err := kubectl("patch", "configmap", "test-cm-1", "-n", "default", "--type=merge", "-p", `{"data":{"var1":"changed"}}`)
	check(t, err)
	changed := time.Now()
	eventually(t, 2*time.Minute, "other pods", func() error {
		now := podsByWorkload(t)
		for _, name := range []string{"test", "test-web"} {
			if slices.ContainsFunc(now[name], func(uid types.UID) bool { return slices.Contains(before[name], uid) }) {
				return fmt.Errorf("%s has its old pods", name)
			}
		}
		return podsReady(t, "default")
	})
	t.Logf("both have other pods after %s", time.Since(changed).Round(time.Second))
	if now := podsByWorkload(t); !slices.Equal(now["test-worker"], before["test-worker"]) {
		t.Errorf("test-worker, which watches nothing, had the pods %v and has %v", before["test-worker"], now["test-worker"])
	}
}

// podsByWorkload returns the pods of the Deployments of the namespace default.
func podsByWorkload(t *testing.T) map[string][]types.UID {
	t.Helper()
	var pods corev1.PodList
	check(t, cluster.client.List(t.Context(), &pods, client.InNamespace("default")))
	found := map[string][]types.UID{}
	for _, p := range pods.Items {
		// A pod is named DEPLOYMENT-HASH-RANDOM.
		parts := strings.Split(p.Name, "-")
		name := strings.Join(parts[:len(parts)-2], "-")
		found[name] = append(found[name], p.UID)
	}
	for _, name := range []string{"test", "test-web", "test-worker"} {
		slices.Sort(found[name])
		if len(found[name]) == 0 {
			t.Fatalf("%s has no pods: %v", name, slices.Sorted(maps.Keys(found)))
		}
	}
	return found
}
