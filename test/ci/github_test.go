package ci_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/ci"
)

// github runs the workflow for an event.
func (f *forge) github(event string) (bool, string) {
	f.Helper()
	payload := filepath.Join(f.state, "event.json")
	message := strings.ReplaceAll(f.git("log", "-1", "--format=%B"), "\n", " ")
	f.write(payload, fmt.Sprintf(`{"ref":"refs/heads/main","head_commit":{"message":%q},"repository":{"default_branch":"main"}}`, message), 0o600)
	return f.run(filepath.Join(runners, "act"), event, "-P", "ubuntu-latest=-self-hosted", "--eventpath", payload,
		"--env", "GITHUB_REPOSITORY=team/app", "--pull=false", "--no-cache-server",
		"--var", "CI_REGISTRY_URL="+f.registry, "--var", "KUBIT_WEBHOOK_URL="+f.webhook,
		"-s", "CI_REGISTRY_USERNAME=ci", "-s", "CI_REGISTRY_PASSWORD="+password, "-s", "KUBIT_WEBHOOK_TOKEN="+token)
}

func TestGitHubManual(t *testing.T) {
	f := newForge(t, ci.Options{Platform: ci.GitHub, Dockerfile: "Dockerfile"})
	tag := f.git("rev-parse", "HEAD")[:8]
	ok, said := f.github("push")
	if !ok || !f.has("team/app", tag) || len(f.told()) != 0 {
		t.Fatalf("the push: %v\n%s", ok, said)
	}
	if ok, said = f.github("workflow_dispatch"); !ok {
		t.Fatalf("the deployment:\n%s", said)
	}
	if got := f.told(); !slices.Equal(got, []string{tag}) || f.builds() != 1 || f.keys[0] == "" {
		t.Errorf("told %v, want %s; %d builds\n%s", got, tag, f.builds(), said)
	}
	if strings.Contains(said, token) || strings.Contains(said, password) {
		t.Errorf("the log shows a secret:\n%s", said)
	}
	f.result = "result: failed"
	if ok, said = f.github("workflow_dispatch"); ok {
		t.Errorf("the rollout failed and the job did not:\n%s", said)
	}
}

func TestGitHubAutoAndPeyksOwnCommits(t *testing.T) {
	f := newForge(t, ci.Options{Platform: ci.GitHub, Dockerfile: "Dockerfile", Auto: true})
	if ok, said := f.github("push"); !ok || len(f.told()) != 1 {
		t.Fatalf("the push:\n%s", said)
	}
	f.commit("Update app.pack.yaml\n\nDelivery-Request: r1")
	_, said := f.github("push")
	if f.builds() != 1 || len(f.told()) != 0 {
		t.Errorf("%d builds\n%s", f.builds(), said)
	}
}

func TestGitHubMinimal(t *testing.T) {
	f := newForge(t, ci.Options{Platform: ci.GitHub, Dockerfile: "Dockerfile", Minimal: true})
	ok, said := f.github("workflow_dispatch")
	if tag := f.git("rev-parse", "HEAD"); !ok || !f.has("team/app", tag) || !slices.Equal(f.told(), []string{tag}) {
		t.Fatalf("the workflow: %v\n%s", ok, said)
	}
}
