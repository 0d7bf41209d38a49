package webhook_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// TestForms sends what the source documents' pipelines send, with stock curl, to a Pack that lives in Git.
func TestForms(t *testing.T) {
	p := newPlace(t, "forms", 1, 1)
	one := p.packs[0]
	before := p.repo.Git("show", "main:"+one.file)
	cmd := exec.CommandContext(t.Context(), "sh", "testdata/curl-forms.sh")
	cmd.Env = append(os.Environ(), "KUBIT_WEBHOOK_URL=http://"+world.Operator.HTTP+one.path, "TOKEN="+one.token, "TAG=3bafc239", "PACK_UID=unused")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := strings.Count(string(out), `"changed":true`); got != 1 || strings.Count(string(out), `"changed":false`) != 2 {
		t.Errorf("one call changes the tag and two find it changed, but they said:\n%s", out)
	}
	// One line, in place, with its comment; and one commit, by who asked, that says which image it is.
	want := strings.Replace(before, "DOCKER_TAG: first # by CI", "DOCKER_TAG: 3bafc239 # by CI", 1)
	if diff := cmp.Diff(want, p.repo.Git("show", "main:"+one.file)); diff != "" {
		t.Errorf("the file (-want +got):\n%s", diff)
	}
	log := p.repo.Git("log", "--format=%an|%cn|%B", "main~1..main")
	for _, part := range []string{"ci (deploy webhook)|Peyk|Deploy forms/app-000: DOCKER_TAG=3bafc239", "Deployed-Image: " + p.images + "/app:3bafc239@sha256:ccc"} {
		if !strings.Contains(log, part) {
			t.Errorf("the commit lacks %q:\n%s\nthe calls were answered:\n%s", part, log, out)
		}
	}
	if p.repo.Git("rev-list", "--count", "main") != "2" {
		t.Errorf("the branch has more than the first commit and one:\n%s", p.repo.Git("log", "--oneline", "main"))
	}
	eventually(t, time.Minute, func() error { return p.inCluster(t, one, "3bafc239") })
}

// TestDeployCommand deploys with `peyk pack deploy`, which waits: without nodes no pod becomes ready, and the exit code
// says so.
func TestDeployCommand(t *testing.T) {
	p := newPlace(t, "deploys", 1, 1)
	one := p.packs[0]
	program, err := testkit.Program("peyk")
	check(t, err)
	deploy := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"pack", "deploy", "--url", "http://" + world.Operator.HTTP + one.path}, args...)...)
		cmd.Env = append(os.Environ(), "KUBIT_WEBHOOK_TOKEN="+one.token)
		out, err := cmd.CombinedOutput()
		exit := &exec.ExitError{}
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := deploy("--var", "DOCKER_TAG=two", "--dry-run"); code != 0 || !strings.Contains(out, "+        DOCKER_TAG: two # by CI") || p.tagIn(t, one.file) != "first" {
		t.Errorf("the dry run ended with %d, the tag in Git is %s:\n%s", code, p.tagIn(t, one.file), out)
	}
	if out, code := deploy("--var", "DOCKER_TAG=no-such-tag", "--wait"); code != 1 || !strings.Contains(out, "is not in its registry") {
		t.Errorf("a tag that is not there ended with %d:\n%s", code, out)
	}
	out, code := deploy("--var", "DOCKER_TAG=two", "--wait", "--wait-timeout", "15s")
	for _, step := range []string{"accepted: ", "commit: ", "pods: ", "result: timeout"} {
		if !strings.Contains(out, step) {
			t.Errorf("the rollout does not tell of %q", step)
		}
	}
	if code != 1 {
		t.Errorf("a rollout that does not become ready ended with %d", code)
	}
	t.Log(out)
}

// inCluster says whether the cluster has a Pack with the tag.
func (p *place) inCluster(t *testing.T, d deployed, tag string) error {
	var obj packv1.Pack
	err := world.Client.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: d.name}, &obj)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if got := string(obj.Spec.Vars["DOCKER_TAG"].Raw); got != `"`+tag+`"` {
		return fmt.Errorf("%s has the tag %s in the cluster, and %s in Git", d.name, got, tag)
	}
	return nil
}
