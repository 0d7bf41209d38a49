package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/cli"
)

// answers is a webhook that gives one answer after the other, the last one for ever.
func answers(t *testing.T, keys *[]string, all ...func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*keys = append(*keys, r.Header.Get("Idempotency-Key"))
		var body struct{ Variables map[string]string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Variables["DOCKER_TAG"] != "abc" || r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("the webhook got %v, %v", body, r.Header)
		}
		all[min(len(*keys), len(all))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/api/core/packs/p1/vars/"
}

func text(lines ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("wait") != "ready" || r.URL.Query().Get("stream") != "text" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n")
	}
}

func status(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func TestPackDeploy(t *testing.T) {
	cases := map[string]struct {
		args    string
		answers []func(http.ResponseWriter, *http.Request)
		code    int
		want    string
		calls   int
	}{
		"ready":      {"--wait", []func(http.ResponseWriter, *http.Request){text("accepted: x", "# still waiting", "result: ready")}, cli.ExitOK, "result: ready", 1},
		"failed":     {"--wait", []func(http.ResponseWriter, *http.Request){text("accepted: x", "message: the pods crash", "result: failed")}, cli.ExitFailed, "the pods crash", 1},
		"cut off":    {"--wait", []func(http.ResponseWriter, *http.Request){text("accepted: x"), text("result: ready")}, cli.ExitOK, "result: ready", 2},
		"refused":    {"--wait", []func(http.ResponseWriter, *http.Request){status(422, `{"error":"no such tag","mend":"push it"}`)}, cli.ExitFailed, "no such tag; push it", 1},
		"not waited": {"", []func(http.ResponseWriter, *http.Request){status(200, `{"changed":true}`)}, cli.ExitOK, `{"changed":true}`, 1},
		"restarting": {"", []func(http.ResponseWriter, *http.Request){status(503, "<html>"), status(200, `{"changed":true}`)}, cli.ExitOK, `{"changed":true}`, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var keys []string
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			line := fmt.Sprintf("pack deploy --url %s --token-file %s --var DOCKER_TAG=abc %s", answers(t, &keys, c.answers...), file, c.args)
			stdout, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{})), strings.Fields(line)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.want) || strings.Contains(stdout+stderr, "s3cret") {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", code, c.code, c.want, stdout, stderr)
			}
			if len(keys) != c.calls || keys[0] == "" || keys[0] != keys[len(keys)-1] {
				t.Errorf("called with the keys %v, want one key %d times", keys, c.calls)
			}
		})
	}
}

// A name below localhost is this machine, whatever the machine's DNS says of it.
func TestPackDeployOnThisMachine(t *testing.T) {
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Host
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	t.Setenv("KUBIT_WEBHOOK_TOKEN", "secret")
	_, stderr, code := run(t, newApp(nil), "pack", "deploy", "--url", "http://peyk.localhost:"+port+"/", "--var", "DOCKER_TAG=1")
	if code != cli.ExitOK || asked != "peyk.localhost:"+port {
		t.Errorf("exit code %d, host %q: %s", code, asked, stderr)
	}
}

func TestPackDeployUsage(t *testing.T) {
	t.Setenv("KUBIT_WEBHOOK_URL", "http://127.0.0.1:1/x")
	t.Setenv("KUBIT_WEBHOOK_TOKEN", "s3cret")
	for line, want := range map[string]string{
		"pack deploy":                               "--var",
		"pack deploy --var DOCKER_TAG":              "NAME=VALUE",
		"pack deploy --url x --var DOCKER_TAG=a":    "--url",
		"pack deploy --token-file /none --var A=a":  "--token-file",
		"pack deploy some-name --var DOCKER_TAG=ab": "",
	} {
		_, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{})), strings.Fields(line)...)
		if code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", line, code, stderr)
		}
	}
}
