// Package ci_test runs the pipelines that `peyk ci init` writes in real runners: gitlab-ci-local, which runs GitLab's files, and
// act, which runs GitHub's. Docker is replaced by a program that builds with peyk and pushes to a registry of the test's own.
package ci_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/peyk/peyk/internal/ci"
	"github.com/peyk/peyk/internal/testkit"
)

// The versions of the runners. That of gitlab-ci-local is the newest of those that run on Debian 12's node.
const (
	gitlabRunner = "gitlab-ci-local@4.63.0"
	githubRunner = "github.com/nektos/act@v0.2.89"
)

const (
	token    = "0123456789abcdef0123456789abcdef"
	password = "registry-password-hunter2"
)

// runners are installed once for all tests; PEYK_CI_RUNNERS names a folder that has them already.
var runners string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	runners = os.Getenv("PEYK_CI_RUNNERS")
	if runners == "" {
		dir, err := os.MkdirTemp("", "peyk-ci-")
		if err != nil {
			log.Print(err)
			return 1
		}
		defer os.RemoveAll(dir)
		runners = dir
		for _, install := range []*exec.Cmd{
			exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", gitlabRunner),
			exec.Command("go", "install", githubRunner),
		} {
			install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-buildvcs=false")
			if out, err := install.CombinedOutput(); err != nil {
				log.Printf("installing a runner: %v: %v\n%s", install.Args, err, out)
				return 1
			}
		}
	}
	return m.Run()
}

// forge is what a pipeline meets: a registry, and a webhook that answers as Peyk's does.
type forge struct {
	*testing.T
	dir      string // the work tree
	registry string
	webhook  string
	// result is the last line of the webhook's answer.
	result string

	mu    sync.Mutex
	tags  []string // that the webhook was told
	keys  []string
	state string // of the registry's login
}

// docker builds with peyk what docker would build from a Dockerfile of two lines, FROM scratch and COPY, and pushes it.
const docker = `#!/bin/sh
set -eu
verb=$1; shift
case $verb in
login)
	host=$1; user=; pass=
	shift
	while [ $# -gt 0 ]; do case $1 in
	-u) user=$2; shift;;
	-p) pass=$2; shift;;
	--password-stdin) read -r pass;;
	esac; shift; done
	[ "$user/$pass" = "ci/$PASSWORD_OF_THE_TEST" ] || { echo "docker: wrong login at $host" >&2; exit 1; }
	;;
manifest)
	name=${2#*/}
	curl -sf -o /dev/null "http://${2%%/*}/v2/${name%:*}/manifests/${name##*:}"
	;;
build)
	tags=
	while [ $# -gt 0 ]; do case $1 in
	-t|--tag) tags="$tags --tag $2"; shift;;
	--file) [ -f "$2" ] || { echo "docker: there is no $2" >&2; exit 1; }; shift;;
	--cache-from|--build-arg) shift;;
	*) [ -d "$1" ] || { echo "docker: $1?" >&2; exit 1; };;
	esac; shift; done
	echo "$tags" > "$STATE_OF_THE_TEST/built"
	echo built >> "$STATE_OF_THE_TEST/builds"
	;;
push)
	grep -qF -- "--tag $1" "$STATE_OF_THE_TEST/built"
	"$PEYK_OF_THE_TEST" build . --files --tag "$1" --push --no-color
	;;
# The runner's own: it starts the services of a job, here there are none.
image) echo '[{}]';;
network|pull|create|start|logs|rm) echo 0123456789ab;;
*) echo "docker: $verb?" >&2; exit 1;;
esac
`

func newForge(t *testing.T, o ci.Options) *forge {
	t.Helper()
	f := &forge{T: t, dir: filepath.Join(t.TempDir(), "app"), state: t.TempDir(), result: "result: ready"}
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	hook := httptest.NewServer(http.HandlerFunc(f.answer))
	t.Cleanup(hook.Close)
	f.registry, f.webhook = strings.TrimPrefix(images.URL, "http://"), hook.URL+"/api/core/packs/p6/vars/"
	f.write(filepath.Join(f.state, "docker"), docker, 0o755)
	f.write(filepath.Join(f.dir, "Dockerfile"), "FROM scratch\nCOPY . /\n", 0o644)
	text, err := ci.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	f.write(filepath.Join(f.dir, o.File()), string(text), 0o644)
	f.git("init", "-q", "-b", "main")
	f.git("remote", "add", "origin", "https://gitlab.example.org/team/app.git")
	f.commit("an application")
	return f
}

func (f *forge) write(path, text string, mode os.FileMode) {
	f.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		f.Fatal(err)
	}
}

func (f *forge) git(args ...string) string {
	f.Helper()
	cmd := exec.Command("git", append([]string{"-C", f.dir, "-c", "user.name=test", "-c", "user.email=t@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (f *forge) commit(message string) {
	f.Helper()
	f.git("add", "-A")
	f.git("commit", "-q", "--allow-empty", "-m", message)
}

// answer does what the deploy webhook of a Pack does with ?wait=ready, streamed where that is asked for.
func (f *forge) answer(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "no such token", http.StatusUnauthorized)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tags = append(f.tags, r.FormValue("DOCKER_TAG"))
	f.keys = append(f.keys, r.Header.Get("Idempotency-Key"))
	if r.URL.Query().Get("wait") != "ready" {
		http.Error(w, "it does not wait", http.StatusBadRequest)
		return
	}
	if r.URL.Query().Get("stream") == "text" {
		fmt.Fprintf(w, "commit: 3bafc239\npods: 1 of 1 are ready\n%s\n", f.result)
		return
	}
	if f.result != "result: ready" {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
}

// run runs a program in the work tree, and returns whether it succeeded, and what it said.
func (f *forge) run(name string, args ...string) (bool, string) {
	f.Helper()
	peyk, err := testkit.Program("peyk")
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(f.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = f.dir
	cmd.Env = []string{
		"PATH=" + f.state + ":" + os.Getenv("PATH"), "HOME=" + f.state, "PEYK_OF_THE_TEST=" + peyk, "STATE_OF_THE_TEST=" + f.state,
		"PASSWORD_OF_THE_TEST=" + password, "NO_COLOR=1",
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return err == nil, out.String()
}

// has says whether the registry has an image of that tag.
func (f *forge) has(repository, tag string) bool {
	f.Helper()
	answer, err := http.Get("http://" + f.registry + "/v2/" + repository + "/manifests/" + tag) //nolint:noctx // the test's server
	if err != nil {
		f.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (f *forge) builds() int {
	text, _ := os.ReadFile(filepath.Join(f.state, "builds"))
	return strings.Count(string(text), "built")
}

// told returns the tags that the webhook was told, and forgets them.
func (f *forge) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.tags
	f.tags = nil
	return told
}
