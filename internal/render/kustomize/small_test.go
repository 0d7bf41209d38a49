package kustomize

import (
	"testing"
)

const smallApp = `apiVersion: v1
kind: ServiceAccount
metadata:
  name: "${name}"
  labels: {app: "${name}", version: one}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: "${name}"
  labels: {app: "${name}"}
spec:
  type: ClusterIP
  selector: {app: "${name}"}
  ports:
    - {name: http, port: 9898, protocol: TCP, targetPort: http}
    - {name: grpc, port: 9999, protocol: TCP, targetPort: grpc}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: "${name}"
  labels: {app: "${name}"}
spec:
  replicas: 0
  minReadySeconds: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0}
  selector:
    matchLabels: {app: "${name}"}
  template:
    metadata:
      labels: {app: "${name}"}
      annotations: {prometheus.io/scrape: "true", prometheus.io/port: "9797"}
    spec:
      serviceAccountName: "${name}"
      containers:
        - name: web
          image: registry.invalid/web:1.0.0
          ports:
            - {name: http, containerPort: 9898, protocol: TCP}
          command: [./web, --port=9898, --port-metrics=9797, --grpc-port=9999, --level=info]
          env:
            - {name: UI_COLOR, value: "#34577c"}
            - {name: APP_NAME, value: "${name}"}
          livenessProbe:
            exec: {command: [web, check, http, "localhost:9898/healthz"]}
            initialDelaySeconds: 5
          resources:
            limits: {cpu: 2000m, memory: 512Mi}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: "${name}"
spec:
  rules:
    - host: "${name}.example.com"
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: "${name}", port: {number: 80}}}}]}
`

// Most applications are small.
func BenchmarkSmall(b *testing.B) {
	root := treeIn(b, b.TempDir(), map[string]string{"app/app.yaml": smallApp})
	for name, request := range map[string]Request{
		"plain":     {},
		"variables": {Variables: map[string]string{"name": "app-1"}},
		"namespace": {Namespace: "prod", Variables: map[string]string{"name": "app-1"}},
	} {
		b.Run(name, func(b *testing.B) {
			request.Root, request.Path = root, "app"
			for b.Loop() {
				if _, err := Build(request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
