package edge

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
)

// The cases of the path type table in the Ingress documentation, and some traps beside it.
func TestPathMatching(t *testing.T) {
	const exact, prefix, specific = networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific
	for _, c := range []struct {
		kind  networkingv1.PathType
		path  string
		asked string
		want  bool
	}{
		{prefix, "/", "/any/path", true},
		{prefix, "/", "", true},
		{exact, "/foo", "/foo", true},
		{exact, "/foo", "/bar", false},
		{exact, "/foo", "/foo/", false},
		{exact, "/foo/", "/foo", false},
		{exact, "/foo/", "/foo/", true},
		{exact, "/Foo", "/foo", false},
		{prefix, "/foo", "/foo", true},
		{prefix, "/foo", "/foo/", true},
		{prefix, "/foo/", "/foo", true},
		{prefix, "/foo/", "/foo/", true},
		{prefix, "/aaa/bb", "/aaa/bbb", false},
		{prefix, "/aaa/bbb", "/aaa/bbb", true},
		{prefix, "/aaa/bbb/", "/aaa/bbb", true},
		{prefix, "/aaa/bbb", "/aaa/bbb/", true},
		{prefix, "/aaa/bbb", "/aaa/bbb/ccc", true},
		{prefix, "/aaa/bbb", "/aaa/bbbxyz", false},
		{specific, "/foo", "/foo/bar", true},
		{prefix, "/admin", "/public/../admin/x", true},
		{prefix, "/public", "/public/../admin", false},
		{exact, "/a/b", "//a/./b", true},
		{exact, "/", "/..", true},
		{prefix, "/.well-known", "/.well-known/x", true},
	} {
		r := newRoute(networkingv1.HTTPIngressPath{Path: c.path, PathType: &c.kind}, nil)
		if got := r.matches(matchable(c.asked)); got != c.want {
			t.Errorf("%s %s matches %s: %v, want %v", c.kind, c.path, c.asked, got, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	named := func(name string) *backend { return &backend{service: name} }
	tab := &table{
		hosts: map[string][]route{
			"a.example.org": {
				{path: "", backend: named("root")},
				{path: "/api", backend: named("api")},
				{path: "/api", exact: true, backend: named("api-exact")},
				{path: "/api/v2", backend: named("v2")},
			},
			"": {{path: "/anywhere", backend: named("anywhere")}},
		},
		wildcards: map[string][]route{"example.org": {{path: "/wild", backend: named("wild")}}},
		fallback:  named("fallback"),
	}
	for _, routes := range tab.hosts {
		sortRoutes(routes)
	}
	for _, c := range []struct{ host, path, want string }{
		{"a.example.org", "/", "root"},
		{"a.example.org", "/api", "api-exact"},
		{"a.example.org", "/api/", "api"},
		{"a.example.org", "/api/v2/x", "v2"},
		{"a.example.org", "/wild", "root"},
		{"b.example.org", "/wild", "wild"},
		{"b.example.org", "/other", "fallback"},
		{"c.b.example.org", "/wild", "fallback"},
		{"example.org", "/wild", "fallback"},
		{"b.example.org", "/anywhere", "anywhere"},
		{"other", "/anywhere/else", "anywhere"},
		{"other", "/", "fallback"},
	} {
		got, _ := tab.find(c.host, c.path)
		if diff := cmp.Diff(c.want, got.service); diff != "" {
			t.Errorf("%s%s: %s", c.host, c.path, diff)
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	for given, want := range map[string]string{
		"Ping.localhost:8080":     "ping.localhost",
		"ping.localhost.":         "ping.localhost",
		"پیک.localhost":           "xn--3ib0gqe.localhost",
		"BÜCHER.example":          "xn--bcher-kva.example",
		"xn--bcher-kva.example:1": "xn--bcher-kva.example",
		"[::1]:443":               "::1",
		"127.0.0.1":               "127.0.0.1",
		"under_score.localhost":   "under_score.localhost",
		"":                        "",
	} {
		if diff := cmp.Diff(want, canonicalHost(given)); diff != "" {
			t.Errorf("%q: %s", given, diff)
		}
	}
}
