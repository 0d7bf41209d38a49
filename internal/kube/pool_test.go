package kube

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// cluster is an API server that has one ConfigMap, which tells who asked for it.
func cluster(t *testing.T, name string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})
	}
	answer("GET /api", `{"kind":"APIVersions","versions":["v1"]}`)
	answer("GET /apis", `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
	answer("GET /api/v1", `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"configmaps","namespaced":true,"kind":"ConfigMap","verbs":["get"]}]}`)
	mux.HandleFunc("GET /api/v1/namespaces/{ns}/configmaps/{name}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"cluster":%q,"user":%q,"token":%q}}`,
			name, r.Header.Get("Impersonate-User"), r.Header.Get("Authorization"))
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	return server
}

// reach returns how to reach a server.
func reach(server *httptest.Server) *rest.Config {
	return &rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

func remote(t *testing.T, url, token string) Kubeconfig {
	t.Helper()
	k, err := Sanitize(fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: %s}}]}`, url, token),
		RemoteOptions{AllowInsecureTLS: true})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestEveryIdentityActsAsItself(t *testing.T) {
	home, there := cluster(t, "home"), cluster(t, "there")
	pool, err := NewPool(reach(home))
	if err != nil {
		t.Fatal(err)
	}
	other := remote(t, there.URL, "secret")
	for name, tc := range map[string]struct {
		identity             Identity
		cluster, user, token string
	}{
		"own":                        {Identity{}, "home", "", ""},
		"own, a namespace is no one": {Identity{Namespace: "a"}, "home", "", ""},
		"impersonated":               {Identity{Namespace: "a", ServiceAccount: "b"}, "home", "system:serviceaccount:a:b", ""},
		"remote":                     {Identity{Kubeconfig: other}, "there", "", "Bearer secret"},
		"impersonated there":         {Identity{Namespace: "a", ServiceAccount: "b", Kubeconfig: other}, "there", "system:serviceaccount:a:b", "Bearer secret"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := pool.For(tc.identity)
			if err != nil {
				t.Fatal(err)
			}
			obj, err := client.Get(t.Context(), schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, "default", "x")
			if err != nil {
				t.Fatal(err)
			}
			got, _ := obj.Object["data"].(map[string]any)
			if got["cluster"] != tc.cluster || got["user"] != tc.user || got["token"] != tc.token {
				t.Errorf("asked as %v, want %v", got, tc)
			}
			if again, _ := pool.For(tc.identity); again != client {
				t.Error("want the same client the second time")
			}
			if (client.Cluster() == "") != (tc.cluster == "home") {
				t.Errorf("the cluster is called %q", client.Cluster())
			}
			if config := client.Config(); config.Impersonate.UserName != tc.user {
				t.Errorf("Config impersonates %q, want %q", config.Impersonate.UserName, tc.user)
			}
			if base, _ := pool.For(Identity{Kubeconfig: tc.identity.Kubeconfig}); client.Own() != base {
				t.Error("Own is not the client that the cluster is reached with")
			}
		})
	}
}

func TestClientsThatNobodyAsksForAreDropped(t *testing.T) {
	pool, err := NewPool(&rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	pool.now = func() time.Time { return now }
	for i := range 10 {
		id := Identity{Namespace: "a", ServiceAccount: "b", Kubeconfig: remote(t, "https://x.example", fmt.Sprint("t", i))}
		if _, err := pool.For(id); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(keptFor + time.Minute)
	if _, err := pool.For(Identity{Namespace: "a", ServiceAccount: "b"}); err != nil {
		t.Fatal(err)
	}
	if n := len(pool.clients); n != 1 {
		t.Errorf("%d clients are kept, want the one that was asked for", n)
	}
}

func TestRequestsOutlastARestartOfTheServer(t *testing.T) {
	real := cluster(t, "home")
	refused := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused++; refused%2 == 1 {
			panic(http.ErrAbortHandler) // the connection breaks, as when the server is stopped
		}
		real.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	client, err := newCluster(reach(server), "", patience)
	if err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	if _, err := client.Get(t.Context(), gvk, "default", "x"); err != nil {
		t.Errorf("error %v, want the request tried again", err)
	}
}

func TestAKindThatIsGoneIsSaidToBe(t *testing.T) {
	server := cluster(t, "home")
	client, err := newCluster(reach(server), "", patience)
	if err != nil {
		t.Fatal(err)
	}
	gvk := schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}
	if _, err := client.Get(t.Context(), gvk, "default", "x"); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api":
			fmt.Fprint(w, `{"kind":"APIVersions","versions":["v1"]}`)
		case "/apis":
			fmt.Fprint(w, `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`)
		case "/api/v1":
			fmt.Fprint(w, `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"settings","namespaced":true,"kind":"ConfigMap","verbs":["get"]}]}`)
		case "/api/v1/namespaces/default/settings/x":
			fmt.Fprint(w, `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"moved"}}`)
		default:
			http.Error(w, "404 page not found", http.StatusNotFound)
		}
	})
	obj, err := client.Get(t.Context(), gvk, "default", "x")
	if err != nil || obj.GetName() != "moved" {
		t.Errorf("got %v and %v, want the object where its kind is served now", obj, err)
	}
	if _, err := client.Get(t.Context(), gvk, "default", "gone"); !apierrors.IsNotFound(err) {
		t.Errorf("error %v, want not found", err)
	}
}
