package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The sources of applications.
const (
	sourceGit = "git"
	sourceOCI = "oci"
	// sourceHelm is a Helm repository; its applications are HelmReleases.
	sourceHelm = "helm"
	// sourcePack are the charts inside Peyk; its applications are Packs, in a cluster with a node.
	sourcePack = "pack"
)

// runLabel is on everything in the cluster that this program made.
const runLabel = "bench.peyk.dev/run"

// application is the manifest of the four objects, as it is in the repository. ${name} is substituted by the operator.
const application = `apiVersion: v1
kind: ServiceAccount
metadata:
  name: "${name}"
  labels: {app: "${name}", version: VERSION}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  name: "${name}"
  labels: {app: "${name}", version: VERSION}
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
  labels: {app: "${name}", version: VERSION}
spec:
  replicas: 0
  minReadySeconds: 3
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 60
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
          imagePullPolicy: IfNotPresent
          ports:
            - {name: http, containerPort: 9898, protocol: TCP}
            - {name: http-metrics, containerPort: 9797, protocol: TCP}
            - {name: grpc, containerPort: 9999, protocol: TCP}
          command: [./web, --port=9898, --port-metrics=9797, --grpc-port=9999, --level=info]
          env:
            - {name: UI_COLOR, value: "#34577c"}
            - {name: APP_NAME, value: "${name}"}
          livenessProbe:
            exec: {command: [web, check, http, localhost:9898/healthz]}
            initialDelaySeconds: 5
            timeoutSeconds: 5
          readinessProbe:
            exec: {command: [web, check, http, localhost:9898/readyz]}
            initialDelaySeconds: 5
            timeoutSeconds: 5
          resources:
            limits: {cpu: 2000m, memory: 512Mi}
            requests: {cpu: 100m, memory: 64Mi}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: "${name}"
  labels: {app: "${name}", version: VERSION}
spec:
  ingressClassName: nginx
  rules:
    - host: "${name}.example.org"
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: "${name}", port: {name: http}}}
`

func appName(i int) string { return fmt.Sprintf("app-%04d", i) }

// space is the namespace of application i of a source.
func space(source string, i int) string { return fmt.Sprintf("bench-%s-%04d", source, i) }

// manifest is the application in a version, as it is in the source.
func manifest(version string) string { return strings.ReplaceAll(application, "VERSION", version) }

// rendered returns the objects of an application as an operator would apply them.
func rendered(namespace, name, version string) ([]*unstructured.Unstructured, error) {
	objects, err := parse(strings.ReplaceAll(manifest(version), "${name}", name))
	if err != nil {
		return nil, err
	}
	for _, obj := range objects {
		obj.SetNamespace(namespace)
	}
	return objects, nil
}

// tenant returns the namespace of an application, with the account that may administer it.
func tenant(run, namespace string) ([]*unstructured.Unstructured, error) {
	return parse(fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s, labels: {%[2]s: %[3]s}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: %[1]s}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: deployer, namespace: %[1]s}]`, namespace, runLabel, run))
}

// kustomization returns the Kustomization of an application. more is further spec as YAML, a field a line.
func (b *bench) kustomization(namespace, name, sourceRef, path string, more ...string) (*unstructured.Unstructured, error) {
	text := fmt.Sprintf(`apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[2]s, namespace: %[1]s, labels: {%[5]s: %[6]s}}
spec:
  interval: %[7]s
  retryInterval: %[7]s
  timeout: 5m
  prune: true
  wait: true
  serviceAccountName: deployer
  targetNamespace: %[1]s
  sourceRef: %[3]s
  path: %[4]s
  postBuild: {substitute: {name: %[2]s}}
`, namespace, name, sourceRef, path, runLabel, b.run, b.o.interval)
	for _, line := range more {
		text += "  " + line + "\n"
	}
	objects, err := parse(text)
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}

// helmRelease returns the HelmRelease of an application.
func (b *bench) helmRelease(namespace, name string) (*unstructured.Unstructured, error) {
	objects, err := parse(fmt.Sprintf(`apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: %[2]s, namespace: %[1]s, labels: {%[3]s: %[4]s}}
spec:
  interval: %[5]s
  timeout: 5m
  serviceAccountName: deployer
  releaseName: %[2]s
  chart:
    spec:
      chart: %[6]s
      version: ">=1.0.0"
      interval: %[5]s
      sourceRef: {kind: HelmRepository, name: apps, namespace: %[7]s}
`, namespace, name, runLabel, b.run, b.o.interval, chartName, sourcesSpace))
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}
