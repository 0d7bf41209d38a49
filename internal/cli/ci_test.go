package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCIInit(t *testing.T) {
	t.Chdir(t.TempDir())
	run := func(code int, args ...string) (string, string) {
		t.Helper()
		var out, complaints bytes.Buffer
		if got := (&App{}).Run(t.Context(), append([]string{"ci", "init"}, args...), &out, &complaints); got != code {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, &out, &complaints)
		}
		return out.String(), complaints.String()
	}
	out, said := run(ExitOK, "gitlab", "--pack", "base/sample-app")
	for _, part := range []string{"Settings > CI/CD > Variables", "KUBIT_WEBHOOK_TOKEN (secret)", "CI_REGISTRY_URL", "peyk pack token sample-app -n base"} {
		if !strings.Contains(out, part) {
			t.Errorf("it does not say %q: %s", part, out)
		}
	}
	if !strings.Contains(said, "wrote .gitlab-ci.yml") {
		t.Error(said)
	}
	first, err := os.ReadFile(".gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	run(ExitOK, "gitlab", "--pack", "base/sample-app")
	out, said = run(ExitFailed, "gitlab", "--auto")
	if !strings.Contains(out, "-      when: manual\n") || !strings.Contains(said, "--force") {
		t.Errorf("%s%s", out, said)
	}
	if now, _ := os.ReadFile(".gitlab-ci.yml"); !bytes.Equal(first, now) {
		t.Error("it was overwritten")
	}
	run(ExitOK, "gitlab", "--auto", "--force")
	if now, _ := os.ReadFile(".gitlab-ci.yml"); bytes.Contains(now, []byte("when: manual")) {
		t.Error("it was not overwritten")
	}
	run(ExitOK, "github", "--minimal")
	if _, err := os.Stat(filepath.Join(".github", "workflows", "main.yaml")); err != nil {
		t.Error(err)
	}
	if out, _ = run(ExitOK, "github", "--registry", "localhost:5000/team", "--output", "-"); !strings.HasPrefix(out, "# Tests,") {
		t.Error(out)
	}
	for _, wrong := range [][]string{
		{}, {"jenkins"}, {"gitlab", "--pack", "app"}, {"gitlab", "--pack", "base/A"}, {"gitlab", "--registry", "https://r.example.org"},
		{"gitlab", "--registry", "$(id)"}, {"gitlab", "--dockerfile", "../Dockerfile"}, {"gitlab", "--dockerfile", "a; id"}, {"gitlab", "--auto", "--manual"},
	} {
		run(ExitUsage, wrong...)
	}
}
