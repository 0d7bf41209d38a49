package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"defaults":            {nil, ""},
		"several numbers":     {[]string{"--n", "100,500", "--scenarios", "a,c"}, ""},
		"no number":           {[]string{"--n", "many"}, "--n"},
		"an unknown scenario": {[]string{"--scenarios", "a,z"}, `no scenario "z"`},
		"an unknown source":   {[]string{"--sources", "svn"}, "svn"},
		"a foreign operator":  {[]string{"--operator", "flux"}, "--kubeconfig"},
		"a process":           {[]string{"--process", "flux=12x"}, "name=pid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseOptions(tc.args)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestAnApplicationIsFourObjectsEverywhere(t *testing.T) {
	objects, err := rendered("ns", "app-0001", "v1")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, obj := range objects {
		kinds = append(kinds, plurals[obj.GetKind()])
		if obj.GetName() != "app-0001" || obj.GetLabels()["version"] != "v1" {
			t.Errorf("%s is named %q and has version %q", obj.GetKind(), obj.GetName(), obj.GetLabels()["version"])
		}
	}
	if diff := cmp.Diff([]string{"serviceaccounts", "services", "deployments", "ingresses"}, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func TestCountsOfTheAPIServerWithoutOurs(t *testing.T) {
	labels := labelsOf(`code="200",dry_run="All",resource="services",subresource="",verb="APPLY"`)
	if diff := cmp.Diff(map[string]string{"code": "200", "dry_run": "All", "resource": "services", "subresource": "", "verb": "APPLY"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	s := newSent()
	server := httptest.NewServer(s.handler())
	defer server.Close()
	for _, r := range []struct{ method, path, content string }{
		{http.MethodPatch, "/apis/apps/v1/namespaces/a/deployments/x?dryRun=All", "application/apply-patch+yaml"},
		{http.MethodPatch, "/api/v1/namespaces/a/services/x", "application/merge-patch+json"},
		{http.MethodGet, "/api/v1/namespaces/a/services?watch=true", ""},
		{http.MethodGet, "/metrics", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), r.method, server.URL+r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", r.content)
		res, err := (&http.Client{Transport: s.wrap(http.DefaultTransport)}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	served := calls{{Verb: "APPLY", Resource: "deployments", DryRun: true}: 3, {Verb: "PATCH", Resource: "services"}: 1, {Verb: "PUT", Resource: "deployments/status"}: 2}
	left := served.minus(s.snapshot())
	want := calls{{Verb: "APPLY", Resource: "deployments", DryRun: true}: 2, {Verb: "PUT", Resource: "deployments/status"}: 2}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if got := left.total(managed...); got != 4 {
		t.Errorf("%d requests for managed objects, want 4", got)
	}
	var m measurement
	m.addCalls(left)
	if got := m.writes(managed...); got != 2 {
		t.Errorf("%d writes of managed objects, want 2: a dry run is none", got)
	}
}

// handler answers everything with nothing.
func (*sent) handler() http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
}

func TestPercentiles(t *testing.T) {
	var m measurement
	var all []time.Duration
	for i := range 100 {
		all = append(all, time.Duration(100-i)*time.Second)
	}
	m.addOutcome(outcome{latencies: all})
	if diff := cmp.Diff(&latency{Count: 100, P50: 51, P95: 95, Max: 100}, m.Latency); diff != "" {
		t.Errorf("latency (-want +got):\n%s", diff)
	}
}

func TestApplied(t *testing.T) {
	obj := func(generation, observed int64, status, revision string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "app", "namespace": "ns", "generation": generation},
			"status": map[string]any{
				"observedGeneration": observed, "lastAppliedRevision": revision,
				"conditions": []any{map[string]any{"type": "Ready", "status": status}},
			},
		}}
	}
	for name, tc := range map[string]struct {
		obj  *unstructured.Unstructured
		want bool
	}{
		"done":                   {obj(2, 2, "True", "main@sha1:abc"), true},
		"the one before":         {obj(2, 2, "True", "main@sha1:old"), false},
		"not ready":              {obj(2, 2, "False", "main@sha1:abc"), false},
		"an older specification": {obj(2, 1, "True", "main@sha1:abc"), false},
	} {
		if got := applied(map[string]string{"": "abc"})(tc.obj); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
	if applied(map[string]string{})(obj(1, 1, "True", "main@sha1:abc")) {
		t.Error("an unknown revision counts as applied")
	}
}

// A commit adds to the one before, and git serves it.
func TestCommit(t *testing.T) {
	g, err := startGit(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	if _, err := g.commit(t.Context(), map[string]string{"apps/a/app.yaml": "1\n", "apps/b/app.yaml": "1\n"}); err != nil {
		t.Fatal(err)
	}
	hash, err := g.commit(t.Context(), map[string]string{"apps/b/app.yaml": "2\n"})
	if err != nil {
		t.Fatal(err)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	if _, err := g.git(t.Context(), nil, "clone", "--quiet", g.url, clone); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"apps/a/app.yaml": "1\n", "apps/b/app.yaml": "2\n"} {
		got, err := os.ReadFile(filepath.Join(clone, file))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q and %v, want %q", file, got, err, want)
		}
	}
	if head, err := g.git(t.Context(), nil, "-C", clone, "rev-parse", "HEAD"); err != nil || head != hash {
		t.Errorf("head %s and %v, want %s", head, err, hash)
	}
}

func TestOwnProcess(t *testing.T) {
	before, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if now, err := cpuSeconds(os.Getpid()); err != nil || now > before {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if after, err := cpuSeconds(os.Getpid()); err != nil || after <= before {
		t.Errorf("processor time went from %f to %f (%v)", before, after, err)
	}
	if now, peak, err := memory(os.Getpid()); err != nil || now < 1 || peak < now {
		t.Errorf("memory %f now, %f at its peak (%v)", now, peak, err)
	}
}
