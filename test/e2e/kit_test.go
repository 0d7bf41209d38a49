package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// try runs a program and fails the test when it fails.
func try(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	out, err := command(t.Context(), []byte(stdin), program, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return try(t, "", "kubectl", args...)
}

func applyText(t *testing.T, text string) {
	t.Helper()
	try(t, text, "kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-")
}

// soon waits until f returns nil.
func soon(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %s: %v", limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// ready returns status and message of an object's Ready condition.
func ready(t *testing.T, kind, namespace, name string) (status, message string) {
	t.Helper()
	out := kubectl(t, "get", kind, "-n", namespace, name, "-o", "json")
	var obj struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal([]byte(out), &obj); err != nil {
		t.Fatal(err)
	}
	for _, c := range obj.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status, c.Message
		}
	}
	return "", ""
}

func becomesReady(t *testing.T, kind, namespace, name string) {
	t.Helper()
	soon(t, 2*time.Minute, func() error {
		if status, message := ready(t, kind, namespace, name); status != "True" {
			return fmt.Errorf("%s %s is %q: %s", kind, name, status, message)
		}
		return nil
	})
}

// get asks the edge, which names below localhost lead to.
func get(t *testing.T, address string) (int, string) {
	t.Helper()
	return send(t, http.MethodGet, address, "", "", nil)
}

func send(t *testing.T, method, address, token, contentType string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	dial := (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial}}
	if u := req.URL; strings.HasSuffix(u.Hostname(), ".localhost") {
		req.Host, u.Host = u.Host, net.JoinHostPort("127.0.0.1", u.Port())
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(data)
}

func edge(t *testing.T, host string) string {
	t.Helper()
	u, err := url.Parse(local.URLs.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// repository is a Git repository of the local forge with a work tree.
type repository struct {
	name, dir string
	inside    string // URL that pods clone from
}

func forge(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	token, err := os.ReadFile(local.GitToken)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	code, answer := send(t, method, local.URLs.Git+"/api/v1/repos/"+path, strings.TrimSpace(string(token)), "application/json", bytes.NewReader(data))
	if code == 0 || code >= http.StatusBadRequest {
		t.Fatalf("%s %s answers %d: %s", method, path, code, answer)
	}
	got := map[string]any{}
	_ = json.Unmarshal([]byte(answer), &got) // a deletion answers nothing
	return got
}

func forgeToken(t *testing.T, name, scope string) string {
	t.Helper()
	token, _ := forge(t, http.MethodPost, name+"/tokens", map[string]string{"name": "test", "scope": scope})["token"].(string)
	return token
}

// newRepository makes a repository that a Secret of the same name in peyk-system can read.
func newRepository(t *testing.T, name string) *repository {
	t.Helper()
	forge(t, http.MethodPut, name, nil)
	r := &repository{name: name, dir: filepath.Join(t.TempDir(), name), inside: local.Inside.Git + "/" + name + ".git"}
	remote, err := url.Parse(local.URLs.Git + "/" + name + ".git")
	if err != nil {
		t.Fatal(err)
	}
	remote.User = url.UserPassword("test", forgeToken(t, name, "write"))
	try(t, "", "git", "init", "-q", "-b", "main", r.dir)
	try(t, "", "git", "-C", r.dir, "remote", "add", "origin", remote.String())
	applyText(t, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: peyk-system}, stringData: {username: peyk, password: %q}}",
		name, forgeToken(t, name, "read")))
	return r
}

// push replaces the content of the repository.
func (r *repository) push(t *testing.T, files map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			if err := os.RemoveAll(filepath.Join(r.dir, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	for file, content := range files {
		path := filepath.Join(r.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try(t, "", "git", "-C", r.dir, "add", "-A")
	try(t, "", "git", "-C", r.dir, "commit", "-q", "--allow-empty", "-m", "change")
	try(t, "", "git", "-C", r.dir, "push", "-q", "-f", "origin", "HEAD:main")
}

// follow makes Peyk apply a path of the repository, told of pushes by a webhook. spec is more of the Kustomization's.
func (r *repository) follow(t *testing.T, path, spec string) {
	t.Helper()
	hook := "secret-of-" + r.name
	applyText(t, fmt.Sprintf(`
{apiVersion: v1, kind: Secret, metadata: {name: %[1]s-hook, namespace: peyk-system}, stringData: {token: %[2]s}}
---
{apiVersion: source.toolkit.fluxcd.io/v1, kind: GitRepository, metadata: {name: %[1]s, namespace: peyk-system}, spec: {url: %[3]q, interval: 10m, ref: {branch: main}, secretRef: {name: %[1]s}}}
---
{apiVersion: notification.toolkit.fluxcd.io/v1, kind: Receiver, metadata: {name: %[1]s, namespace: peyk-system}, spec: {type: github, secretRef: {name: %[1]s-hook}, resources: [{kind: GitRepository, name: %[1]s}]}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[1]s, namespace: peyk-system}
spec:
  sourceRef: {kind: GitRepository, name: %[1]s}
  path: %[4]s
  interval: 10m
  retryInterval: 2s
  prune: true
%[5]s`, r.name, hook, r.inside, path, indent(spec)))
	var hookPath string
	soon(t, time.Minute, func() error {
		hookPath = kubectl(t, "get", "receiver", "-n", "peyk-system", r.name, "-o", "jsonpath={.status.webhookPath}")
		if hookPath == "" {
			return fmt.Errorf("the receiver has no path yet")
		}
		return nil
	})
	forge(t, http.MethodPost, r.name+"/hooks", map[string]string{"url": "http://peyk.peyk-system.svc" + hookPath, "secret": hook})
	t.Cleanup(func() {
		_, _ = command(context.Background(), nil, "kubectl", "delete", "kustomization,gitrepository,receiver", "-n", "peyk-system", r.name, "--ignore-not-found")
	})
}

// buffer may be written to by a program while the test reads it.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func indent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return out.String()
}
