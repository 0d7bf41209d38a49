package ci_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/ci"
)

// gitlab runs the pipeline; more are the runner's arguments, such as the name of a job.
func (f *forge) gitlab(more ...string) (bool, string) {
	f.Helper()
	args := []string{
		filepath.Join(runners, "node_modules/.bin/gitlab-ci-local"), "--force-shell-executor", "--shell-isolation",
		"--variable", "CI_REGISTRY_URL=" + f.registry, "--variable", "CI_REGISTRY_USERNAME=ci", "--variable", "CI_REGISTRY_PASSWORD=" + password,
		// The runner has a message of its own for every commit.
		"--variable", "CI_COMMIT_MESSAGE=" + f.git("log", "-1", "--format=%B"),
		"--variable", "KUBIT_WEBHOOK_URL=" + f.webhook, "--variable", "KUBIT_WEBHOOK_TOKEN=" + token,
	}
	return f.run(args[0], append(args[1:], more...)...)
}

func TestGitLabManual(t *testing.T) {
	f := newForge(t, ci.Options{Platform: ci.GitLab, Dockerfile: "Dockerfile", Test: &ci.Toolchain{Image: "alpine", Commands: []string{"test -f Dockerfile"}}})
	tag := f.git("rev-parse", "--short=8", "HEAD")
	ok, said := f.gitlab()
	if !ok || !f.has("team/app", tag) || len(f.told()) != 0 {
		t.Fatalf("the pipeline: %v\n%s", ok, said)
	}
	if ok, said = f.gitlab("--manual", "deploy"); !ok {
		t.Fatalf("the deployment:\n%s", said)
	}
	if got := f.told(); !slices.Equal(got, []string{tag}) || f.builds() != 1 || f.keys[0] == "" {
		t.Errorf("told %v, want %s; %d builds, keys %v\n%s", got, tag, f.builds(), f.keys, said)
	}
	if strings.Contains(said, token) || strings.Contains(said, password) {
		t.Errorf("the log shows a secret:\n%s", said)
	}
	f.result = "result: failed"
	if ok, said = f.gitlab("--manual", "deploy"); ok {
		t.Errorf("the rollout failed and the job did not:\n%s", said)
	}
}

// TestGitLabOnPeyksOwnCommits runs the minimal pipeline, which has the rule in its jobs: this runner knows no workflow:rules.
func TestGitLabOnPeyksOwnCommits(t *testing.T) {
	f := newForge(t, ci.Options{Platform: ci.GitLab, Dockerfile: "Dockerfile", Auto: true, Minimal: true})
	if ok, said := f.gitlab(); !ok || len(f.told()) != 1 {
		t.Fatalf("the pipeline:\n%s", said)
	}
	f.commit("Update app.pack.yaml\n\nDelivery-Request: r1")
	_, said := f.gitlab()
	if f.builds() != 1 || len(f.told()) != 0 {
		t.Errorf("%d builds\n%s", f.builds(), said)
	}
}

func TestGitLabMinimal(t *testing.T) {
	f := newForge(t, ci.Options{Platform: ci.GitLab, Dockerfile: "Dockerfile", Minimal: true})
	ok, said := f.gitlab("--manual", "deploy")
	if tag := f.git("rev-parse", "--short=8", "HEAD"); !ok || !f.has("team/app", tag) || !slices.Equal(f.told(), []string{tag}) {
		t.Fatalf("the pipeline: %v\n%s", ok, said)
	}
	f.result = "result: failed"
	if ok, said := f.gitlab("--manual", "deploy"); ok {
		t.Errorf("the rollout failed and the job did not:\n%s", said)
	}
}
