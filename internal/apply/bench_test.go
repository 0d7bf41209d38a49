package apply

import (
	"fmt"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/kube"
)

// app returns the four objects of an application.
func app(tb testing.TB, ns string, i int, value string) []*unstructured.Unstructured {
	name := fmt.Sprintf("app-%04d", i)
	var objects []*unstructured.Unstructured
	for _, text := range []string{
		"{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[1]s, namespace: %[2]s}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: %[1]s, namespace: %[2]s}, data: {key: %[3]s}}",
		"{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: %[2]s}, spec: {selector: {app: %[1]s}, ports: [{port: 80, name: http}]}}",
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %[1]s, namespace: %[2]s}, spec: {replicas: 0, selector: {matchLabels: {app: %[1]s}},
template: {metadata: {labels: {app: %[1]s}, annotations: {value: %[3]s}}, spec: {serviceAccountName: %[1]s, containers: [{name: web, image: "example.com/web:1", ports: [{containerPort: 80}]}]}}}}`,
	} {
		objects = append(objects, object(tb, fmt.Sprintf(text, name, ns, value)))
	}
	return objects
}

const apps = 50

// inParallel runs f for every app, with as many workers as the controller has.
func inParallel(f func(i int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range 10 {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range apps {
		next <- i
	}
	close(next)
	group.Wait()
}

// BenchmarkFloor applies the apps by a bare client.
func BenchmarkFloor(b *testing.B) {
	r := newRig(b)
	for n := range b.N {
		ns := fmt.Sprintf("floor-%d-%d", b.N, n)
		r.applyAs(b, "setup", space(ns))
		inParallel(func(i int) {
			for _, obj := range app(b, ns, i, "v1") {
				if _, _, err := r.user.Apply(b.Context(), obj, kube.ApplyOptions{Manager: "bench"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*apps), "ms/app")
}

// BenchmarkInstall applies the apps by the engine, each for an owner of its own.
func BenchmarkInstall(b *testing.B) {
	r := newRig(b)
	for n := range b.N {
		ns := fmt.Sprintf("install-%d-%d", b.N, n)
		r.applyAs(b, "setup", space(ns))
		r.applyApps(b, ns, "v1")
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*apps), "ms/app")
}

// BenchmarkUpgrade changes two of the four objects of every app.
func BenchmarkUpgrade(b *testing.B) {
	r := newRig(b)
	ns := fmt.Sprint("upgrade-", b.N)
	r.applyAs(b, "setup", space(ns))
	r.applyApps(b, ns, "v0")
	b.ResetTimer()
	for n := range b.N {
		r.applyApps(b, ns, fmt.Sprint("u", n))
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*apps), "ms/app")
}

func (r *rig) applyApps(b *testing.B, ns, value string) {
	inParallel(func(i int) {
		owner := Owner{"Kustomization", ns, fmt.Sprint("app-", i)}
		if _, err := r.Apply(b.Context(), Request{Owner: owner, Client: r.client, Objects: app(b, ns, i, value)}); err != nil {
			b.Error(err)
		}
	})
}
