package kustomize

import (
	"fmt"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
)

// fleet writes n objects, of five kinds, a hundred objects a file.
func fleet(t testing.TB, n int) string {
	t.Helper()
	files := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("app-%d", i/5)
		text := ""
		switch i % 5 {
		case 0:
			text = fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: base, labels: {app: %[1]s}}
spec:
  replicas: 2
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      serviceAccountName: %[1]s
      containers:
      - name: web
        image: nginx:1.0
        ports: [{containerPort: 8080, name: http}]
        envFrom: [{configMapRef: {name: %[1]s}}]
        resources: {limits: {cpu: 2000m, memory: 512Mi}}
`, name)
		case 1:
			text = fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s, namespace: base}\nspec:\n  selector: {app: %[1]s}\n  ports: [{port: 80, targetPort: http}]\n", name)
		case 2:
			text = fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %[1]s, namespace: base}\ndata: {a: b, c: d}\n", name)
		case 3:
			text = fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %[1]s, namespace: base}\n", name)
		case 4:
			text = fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: %[1]s, namespace: base}\nspec:\n  rules: [{host: %[1]s.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: %[1]s, port: {number: 80}}}}]}}]\n", name)
		}
		files[fmt.Sprintf("%03d.yaml", i/100)] += "---\n" + text
	}
	return treeIn(t, t.TempDir(), files)
}

// scaled are requests that kustomize has work with.
var scaled = map[string]Request{
	"namespace": {Namespace: "prod"},
	"images":    {Images: []kustomize.Image{{Name: "nginx", NewTag: "2.0"}}},
	"both":      {Namespace: "prod", Images: []kustomize.Image{{Name: "nginx", NewTag: "2.0"}}},
	"prefix":    {NamePrefix: "my-"},
	"patches":   {Patches: []kustomize.Patch{{Patch: "- {op: replace, path: /spec/replicas, value: 3}", Target: &kustomize.Selector{Kind: "Deployment"}}}},
}

func BenchmarkBuild(b *testing.B) {
	for name, request := range scaled {
		for _, n := range []int{100, 1000, 5000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				request.Root = fleet(b, n)
				for b.Loop() {
					if _, err := Build(request); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
