package nodes_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/testkit"
)

// docker does what the jobs of the samples ask of Docker, and nothing else. Whatever the Dockerfile, the image is the stand-in.
const docker = `#!/bin/sh
set -eu
case "$1 ${2-} ${3-}" in
"login $CI_REGISTRY -u") [ "$4 $5 $6" = "$CI_REGISTRY_USER -p $CI_REGISTRY_PASSWORD" ];;
"build . -t") [ -f Dockerfile ] && [ -f app.py ] && echo "$4" >"$TEST_STATE/built";;
"push $(cat "$TEST_STATE/built") ") $TEST_PUSH --tag "$2";;
*) echo "docker $*: not expected" >&2; exit 1;;
esac
`

// TestSamplePipelines runs the jobs of the samples' pipelines as GitLab does, in a shell with GitLab's variables. Docker is replaced;
// the calls go to the operator's webhook, which deploys.
func TestSamplePipelines(t *testing.T) {
	dir := testkit.Samples(t)
	needImages(t)
	pack := newPack("base/sample-app")
	needNamespace(t, pack.Namespace)
	defer remove(t, pack)
	applyFile(t, filepath.Join(dir, "extra", "sample-app-vars.pack.yaml"))
	ready(t, pack)
	for _, c := range []struct {
		file, tag string
		// context is the folder that the Dockerfile must be in.
		context string
		deploys bool
	}{
		{"seed/gitlab-ci.build-only.yml", "1f0b7d01", "sample_app", false},
		{"seed/gitlab-ci.full.yml", "1f0b7d02", "sample_app", true},
		{"ci/gitlab-panel-template.yml", "1f0b7d03", ".", true},
		{"ci/gitlab-webhook-job.yml", "1f0b7d03-again", ".", true},
	} {
		t.Run(c.file, func(t *testing.T) {
			work := filepath.Join(t.TempDir(), "work")
			check(t, os.CopyFS(filepath.Join(work, c.context), os.DirFS(filepath.Join(dir, "seed", "sample_app"))))
			env := pipelineVariables(t, pack.Namespace, pack.Name, c.tag)
			text := readFile(t, filepath.Join(dir, c.file))
			if strings.Contains(text, "build docker image") {
				runJob(t, text, "build docker image", work, env)
			} else {
				check(t, crane.Copy(cluster.URLs.Registry+"/app-image-v4:latest", cluster.URLs.Registry+"/app-image-v4:"+c.tag, crane.Insecure))
			}
			_, err := crane.Digest(cluster.URLs.Registry+"/app-image-v4:"+c.tag, crane.Insecure)
			check(t, err)
			if !c.deploys {
				return
			}
			job := "deploy"
			if strings.Contains(text, "kubit webhook:") {
				job = "kubit webhook"
				// This file has a place that is to be filled in where others have a variable.
				text = strings.Replace(text, "https://api.kubit.ir/api/core/packs/<pack_uid>/vars/", "${KUBIT_WEBHOOK_URL}", 1)
			}
			start := time.Now()
			runJob(t, text, job, work, env)
			eventually(t, 2*time.Minute, "the new image", func() error {
				var d appsv1.Deployment
				if err := cluster.client.Get(t.Context(), types.NamespacedName{Namespace: pack.Namespace, Name: "sample-app-main"}, &d); err != nil {
					return err
				}
				if image := d.Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(image, "/app-image-v4:"+c.tag) {
					return fmt.Errorf("the image is %s", image)
				}
				return podsReady(t, pack.Namespace)
			})
			t.Logf("%s runs %s after the call", c.tag, time.Since(start).Round(time.Second))
		})
	}
}

// pipelineVariables are those that GitLab has, and those that people set there.
func pipelineVariables(t *testing.T, namespace, pack, tag string) []string {
	t.Helper()
	peyk, err := testkit.Program("peyk")
	check(t, err)
	out, err := command(time.Minute, peyk, "pack", "token", pack, "-n", namespace, "-o", "json", "--kubeconfig", cluster.Kubeconfig, "--url", "http://"+cluster.operator.HTTP)
	check(t, err)
	var made struct{ URL, Token string }
	check(t, json.Unmarshal([]byte(out), &made))
	folder, err := standInFolder()
	check(t, err)
	state := t.TempDir()
	check(t, os.WriteFile(filepath.Join(state, "docker"), []byte(docker), 0o700)) //nolint:gosec // a program
	check(t, os.WriteFile(filepath.Join(state, "built"), nil, 0o600))
	return append(os.Environ(), "PATH="+state+":"+os.Getenv("PATH"), "TEST_STATE="+state, "TEST_PUSH="+peyk+" "+strings.Join(standInArgs(folder), " "),
		"CI_REGISTRY="+cluster.URLs.Registry, "CI_REGISTRY_USER=ci", "CI_REGISTRY_PASSWORD=password",
		"CI_REGISTRY_URL="+cluster.URLs.Registry, "CI_REGISTRY_USERNAME=ci",
		"CI_PROJECT_PATH=app-image-v4", "IMAGE_ADDRESS=app-image-v4", "CI_COMMIT_SHORT_SHA="+tag, "DOCKER_TAG="+tag,
		"KUBIT_WEBHOOK_URL="+made.URL, "KUBIT_WEBHOOK_TOKEN="+made.Token)
}

// runJob runs the scripts of a job in a folder.
func runJob(t *testing.T, pipeline, name, work string, env []string) {
	t.Helper()
	type job struct {
		Variables    map[string]string `json:"variables"`
		BeforeScript []string          `json:"before_script"`
		Script       []string          `json:"script"`
	}
	var jobs map[string]json.RawMessage
	check(t, yaml.Unmarshal([]byte(pipeline), &jobs))
	var found job
	check(t, json.Unmarshal(jobs[name], &found))
	variables := map[string]string{}
	if jobs["variables"] != nil {
		check(t, json.Unmarshal(jobs["variables"], &variables))
	}
	maps.Copy(variables, found.Variables)
	script := "set -eu\n"
	for _, variable := range slices.Sorted(maps.Keys(variables)) {
		// An empty one is to be filled in.
		if value := variables[variable]; value != "" {
			script += fmt.Sprintf("export %s=%q\n", variable, value)
		}
	}
	script += strings.Join(append(found.BeforeScript, found.Script...), "\n")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script) //nolint:gosec // a sample
	cmd.Dir, cmd.Env = work, env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the job %q: %v\n%s\nof the script\n%s", name, err, out, script)
	}
}
