package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// site is a web server in a pod. Pods reach nothing of the machine, so what the operator downloads from, and delivers to,
// is in the cluster too; the test reaches it through the edge.
type site struct {
	inside  string // URL that pods use
	outside string
}

// letter is what was posted to the site.
type letter struct {
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// startSite builds the server's image with peyk build and runs it in a namespace of its own.
func startSite(t *testing.T, name string) *site {
	t.Helper()
	image := registryHost(t, local.URLs.Registry) + "/test/site:1"
	try(t, "", "peyk", "build", local.root+"/test/e2e/site", "--tag", image, "--port", "8080", "--push", "--insecure")
	applyText(t, fmt.Sprintf(`
{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: site, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: site}}
  template:
    metadata: {labels: {app: site}}
    spec: {containers: [{name: site, image: "registry.localhost/test/site:1", ports: [{containerPort: 8080}]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: site, namespace: %[1]s}, spec: {selector: {app: site}, ports: [{port: 80, targetPort: 8080}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: site, namespace: %[1]s}
spec: {rules: [{host: %[1]s.localhost, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: site, port: {number: 80}}}}]}}]}
`, name))
	t.Cleanup(func() { kubectlQuietly("delete", "namespace", name, "--wait=false") })
	kubectl(t, "rollout", "status", "deployment/site", "-n", name, "--timeout=120s")
	s := &site{inside: "http://site." + name + ".svc", outside: edge(t, name+".localhost")}
	// The edge hears of the Ingress and of the pod a moment later.
	soon(t, 90*time.Second, func() error {
		if code, body := send(t, http.MethodPut, s.outside+"/hello", "", "", strings.NewReader("hello")); code != http.StatusOK {
			return fmt.Errorf("the site answers %d: %s", code, body)
		}
		return nil
	})
	return s
}

// put makes the site serve a file.
func (s *site) put(t *testing.T, path string, content []byte) {
	t.Helper()
	if code, body := send(t, http.MethodPut, s.outside+path, "", "", bytes.NewReader(content)); code != http.StatusOK {
		t.Fatalf("putting %s: %d %s", path, code, body)
	}
}

// letters returns what was posted to a path of the site.
func (s *site) letters(t *testing.T, path string) []letter {
	t.Helper()
	code, body := get(t, s.outside+path+"?letters")
	var all []letter
	if err := json.Unmarshal([]byte(body), &all); err != nil || code != http.StatusOK {
		t.Fatalf("reading what was posted to %s: %d %s %v", path, code, body, err)
	}
	return all
}
