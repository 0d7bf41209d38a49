package packs_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// stockHelm runs the helm command line against the tests' cluster.
func stockHelm(t *testing.T, args ...string) string {
	t.Helper()
	program, err := testkit.Program("helm")
	check(t, err)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.kubeconfig, "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestStockHelmSeesTheRelease(t *testing.T) {
	start(t)
	ns := namespace(t, "list")
	until(t, create(t, ns, web), "applied", applied)
	var list []struct{ Name, Chart, Status string }
	check(t, json.Unmarshal([]byte(stockHelm(t, "list", "-n", ns, "-o", "json")), &list))
	if len(list) != 1 || list[0].Name != "web" || !strings.HasPrefix(list[0].Chart, "simplepack-0.3.") || list[0].Status != "deployed" {
		t.Errorf("helm list shows %v", list)
	}
	if manifest := stockHelm(t, "get", "manifest", "-n", ns, "web"); !strings.Contains(manifest, "registry.example/web:one") {
		t.Errorf("helm get manifest shows %s", manifest)
	}
}

// TestHelmByHand changes a Pack's release with the helm command line: the Pack wins.
func TestHelmByHand(t *testing.T) {
	start(t)
	chart, err := filepath.Abs("../../charts/simplepack")
	check(t, err)
	tests := []struct {
		name string
		harm func(t *testing.T, ns string)
	}{
		{"upgrade", func(t *testing.T, ns string) {
			stockHelm(t, "upgrade", "-n", ns, "web", chart, "--reuse-values", "--force-conflicts", "--set", "gonbad.workloads.main.containers.main.image.tag=by-hand")
		}},
		{"uninstall", func(t *testing.T, ns string) { stockHelm(t, "uninstall", "-n", ns, "web") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ns := namespace(t, "byhand")
			obj := until(t, create(t, ns, web), "applied", applied)
			var before appsv1.Deployment
			key := types.NamespacedName{Namespace: ns, Name: "web-main"}
			check(t, shared.client.Get(t.Context(), key, &before))
			tt.harm(t, ns)
			eventually(t, "the release is as the Pack says", func() (bool, string) {
				var now appsv1.Deployment
				if err := shared.client.Get(t.Context(), key, &now); err != nil {
					return false, err.Error()
				}
				return now.UID != before.UID && now.DeletionTimestamp.IsZero() || now.Generation >= before.Generation+2, image(t, ns)
			})
			eventually(t, "the image is the Pack's", func() (bool, string) { return image(t, ns) == "registry.example/web:one", image(t, ns) })
			until(t, obj, "applied", applied)
			eventually(t, "helm shows it deployed", func() (bool, string) {
				out := stockHelm(t, "list", "-n", ns, "-o", "json")
				return strings.Contains(out, `"status":"deployed"`), out
			})
		})
	}
}

// TestForeignRelease gives a Pack the name of a release of another chart: neither installing nor deleting the Pack
// touches it.
func TestForeignRelease(t *testing.T) {
	start(t)
	ns := namespace(t, "foreign")
	chart, err := filepath.Abs("../../charts/redis")
	check(t, err)
	stockHelm(t, "install", "-n", ns, "web", chart)
	obj := until(t, create(t, ns, web), "refused", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackApplyFailed })
	if !strings.Contains(obj.Status.LastError, "release web of chart redis") {
		t.Errorf("the error is %q", obj.Status.LastError)
	}
	check(t, shared.client.Delete(t.Context(), obj))
	eventually(t, "the Pack is gone", func() (bool, string) {
		err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		return err != nil, readyMessage(obj)
	})
	if out := stockHelm(t, "list", "-n", ns, "-o", "json"); !strings.Contains(out, `"deployed"`) {
		t.Errorf("the other release is gone: %s", out)
	}
}

// TestInterrupted leaves releases as a process that is killed leaves them.
func TestInterrupted(t *testing.T) {
	clients, err := kubernetes.NewForConfig(shared.config)
	check(t, err)
	for _, status := range []common.Status{common.StatusPendingInstall, common.StatusPendingUpgrade, common.StatusFailed, common.StatusUninstalling} {
		t.Run(string(status), func(t *testing.T) {
			first := start(t)
			ns := namespace(t, "killed")
			obj := until(t, create(t, ns, web), "applied", applied)
			first.stop()
			releases := storage.Init(driver.NewSecrets(clients.CoreV1().Secrets(ns)))
			found, err := releases.Last("web")
			check(t, err)
			record, ok := found.(*release.Release)
			if !ok {
				t.Fatalf("the record is a %T", found)
			}
			record.Info.Status = status
			check(t, releases.Update(record))
			check(t, shared.client.DeleteAllOf(t.Context(), &appsv1.Deployment{}, client.InNamespace(ns)))
			start(t)
			eventually(t, "the Deployment is back", func() (bool, string) { return image(t, ns) == "registry.example/web:one", image(t, ns) })
			until(t, obj, "applied", applied)
			eventually(t, "the release is deployed", func() (bool, string) {
				found, err := releases.Last("web")
				if err != nil {
					return false, err.Error()
				}
				now := found.(*release.Release).Info.Status
				return now == common.StatusDeployed, string(now)
			})
		})
	}
}

// calls counts the requests that are not watches.
type calls struct {
	mu   sync.Mutex
	list []string
}

func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// TestNothingToDo shows that a pass over a Pack that is as it should be costs nothing but its status.
func TestNothingToDo(t *testing.T) {
	counted := &calls{}
	original := shared.config.WrapTransport
	shared.config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return &forward{counted, next}
	}
	t.Cleanup(func() { shared.config.WrapTransport = original })
	start(t)
	ns := namespace(t, "idle")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "ready", func(p *packv1.Pack) bool { return strings.HasPrefix(readyMessage(p), "True") })
	counted.take()
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Timeout = duration(time.Minute) })
	until(t, obj, "the change is seen", func(p *packv1.Pack) bool { return p.Status.ObservedGeneration == p.Generation })
	var packs []string
	for _, call := range counted.take() {
		if strings.Contains(call, "/packs/") || strings.Contains(call, "secrets") || strings.Contains(call, "configmaps") {
			packs = append(packs, call)
		}
	}
	want := "PATCH /apis/k8s.kubit.ir/v1alpha1/namespaces/" + ns + "/packs/note/status"
	if len(packs) != 1 || packs[0] != want {
		t.Errorf("the pass made the calls %v, want only %s", packs, want)
	}
}

// forward counts on the way.
type forward struct {
	counted *calls
	next    http.RoundTripper
}

func (f *forward) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("watch") == "" {
		f.counted.mu.Lock()
		f.counted.list = append(f.counted.list, r.Method+" "+r.URL.Path)
		f.counted.mu.Unlock()
	}
	return f.next.RoundTrip(r)
}
