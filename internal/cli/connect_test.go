package cli_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/cli"
)

// TestKubectlFlags asks a server that only listens: the flags of kubectl say which one it is, and who asks.
func TestKubectlFlags(t *testing.T) {
	t.Setenv("KUBECONFIG", "/dev/null")
	var asked []http.Header
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.Header)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	app := &cli.App{Poll: time.Millisecond}
	_, stderr, code := run(t, app, "get", "kustomizations", "--server", server.URL, "--insecure-skip-tls-verify", "--token", "hidden", "--as", "ada", "--as-group", "a", "--as-group", "b",
		"--as-uid", "7", "--as-user-extra", "team=x", "--as-user-extra", "team=y", "--kube-api-qps", "50", "--kube-api-burst", "300", "--ns-follows-kube-context")
	if code == cli.ExitOK || code == cli.ExitUsage || len(asked) == 0 {
		t.Fatalf("exit code %d after %d requests: %s", code, len(asked), stderr)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer hidden", "Impersonate-User": "ada", "Impersonate-Uid": "7", "Impersonate-Group": "a b", "Impersonate-Extra-Team": "x y",
	} {
		if got := strings.Join(asked[0].Values(name), " "); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(stderr, "hidden") {
		t.Errorf("the token is shown: %s", stderr)
	}
	if _, stderr, code := run(t, app, "get", "kustomizations", "--server", server.URL, "--as", "ada", "--as-user-extra", "team"); code != cli.ExitUsage || !strings.Contains(stderr, "key=value") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := run(t, app, "get", "kustomizations", "--user", "nobody", "--cluster", "none"); code != cli.ExitUnreachable {
		t.Errorf("a user that the kubeconfig does not have: exit code %d: %s", code, stderr)
	}
}
