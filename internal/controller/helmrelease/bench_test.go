package helmrelease

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/tenancy"
)

const releases = 200

// fourObjects is the chart of an application as benchmarks have it; nothing of it runs.
var fourObjects = map[string]string{
	"deployment.yaml": neverTemplate,
	"account.yaml":    "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Release.Name }}}\n",
	"service.yaml":    "apiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\nspec: {clusterIP: None, selector: {app: {{ .Release.Name }}}, ports: [{port: 80}]}\n",
	"cm.yaml":         configMapTemplate,
}

// BenchmarkInstall installs releases, and compares the time with that of a bare client which applies as many objects of
// the same kinds.
func BenchmarkInstall(b *testing.B) {
	for range b.N {
		p := start(b, b.TempDir(), tenancy.Policy{})
		floor := bare(b, space(b))
		ns := space(b)
		p.publish(b, ns, "app", web("1.0.0", fourObjects))
		before, begun := p.requests.Load(), time.Now()
		var group sync.WaitGroup
		for i := range releases {
			group.Go(func() {
				release(b, ns, fmt.Sprintf("r%d", i), func(s *v2.HelmReleaseSpec) { s.ChartRef.Name = "app" })
			})
			if i%8 == 7 {
				group.Wait()
			}
		}
		group.Wait()
		list := &v2.HelmReleaseList{}
		eventually(b, "all are to be ready", func() error {
			if err := api.List(b.Context(), list, client.InNamespace(ns)); err != nil {
				return err
			}
			n := 0
			for i := range list.Items {
				if apimeta.IsStatusConditionTrue(list.Items[i].Status.Conditions, "Ready") {
					n++
				}
			}
			if n < releases {
				return fmt.Errorf("%d are ready", n)
			}
			return nil
		})
		took := time.Since(begun)
		b.ReportMetric(took.Seconds()/floor.Seconds(), "x-floor")
		b.ReportMetric(floor.Seconds(), "s-floor")
		b.ReportMetric(float64(p.requests.Load()-before)/releases, "requests/release")
		p.stop()
	}
}

func bare(b *testing.B, ns string) time.Duration {
	b.Helper()
	c := rest.CopyConfig(plane.Config)
	c.QPS = -1
	pool, err := kube.NewPool(c)
	check(b, err)
	own, err := pool.For(kube.Identity{})
	check(b, err)
	var objects []*unstructured.Unstructured
	for i := range releases {
		name := fmt.Sprintf("bare%d", i)
		for _, o := range []map[string]any{
			{"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{
				"replicas": int64(0), "selector": map[string]any{"matchLabels": map[string]any{"app": name}},
				"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": name}}, "spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": "none"}}}},
			}},
			{"apiVersion": "v1", "kind": "ServiceAccount"},
			{"apiVersion": "v1", "kind": "Service", "spec": map[string]any{"clusterIP": "None", "selector": map[string]any{"app": name}, "ports": []any{map[string]any{"port": int64(80)}}}},
			{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{"text": "default"}},
		} {
			u := &unstructured.Unstructured{Object: o}
			u.SetNamespace(ns)
			u.SetName(name)
			objects = append(objects, u)
		}
	}
	begun := time.Now()
	work := make(chan *unstructured.Unstructured)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for u := range work {
				if _, _, err := own.Apply(context.Background(), u, kube.ApplyOptions{Manager: "bare"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, u := range objects {
		work <- u
	}
	close(work)
	group.Wait()
	return time.Since(begun)
}
