package flux

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/git/gittest"
)

func configMap(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: default\ndata:\n  key: \"" + value + "\"\n"
}

func files(value string) map[string]string {
	return map[string]string{"deploy/one.yaml": configMap("one", value), "deploy/two.yaml": configMap("two", "kept")}
}

// The objects are made by the stock command line, which waits until they are ready; then it and peyk say the same of them.
func TestStockCommandLine(t *testing.T) {
	work(t)
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "app")
	repo.Commit("main", "first", files("1"))
	server := gittest.NewHTTPServer(t, root, nil)

	out := mustRun(t, "flux", "create", "source", "git", "app", "--url", server.URL+"/app.git", "--branch", "main", "--interval", "10m")
	contains(t, out, "✔ GitRepository source reconciliation completed", "✔ fetched revision: main@sha1:")
	out = mustRun(t, "flux", "create", "kustomization", "app", "--source", "GitRepository/app", "--path", "./deploy", "--prune", "--interval", "10m", "--wait")
	contains(t, out, "✔ Kustomization app is ready", "✔ applied revision main@sha1:")

	t.Run("same output", func(t *testing.T) { sameOutput(t) })
	t.Run("reconcile", func(t *testing.T) { reconciles(t, repo) })
	t.Run("suspend and resume", func(t *testing.T) { suspends(t) })
	t.Run("events", func(t *testing.T) { hasEvents(t) })
	t.Run("diff and build", func(t *testing.T) { diffs(t) })
	t.Run("delete", func(t *testing.T) { deletes(t) })
}

// sameOutput compares commands whose output is the same with both programs.
func sameOutput(t *testing.T) {
	for _, line := range []string{
		"get all -A", "get sources git", "get sources git -A", "get sources git app", "get source git --no-header", "get sources all",
		"get ks", "get kustomizations -A", "get ks --show-source", "get ks --status-selector ready=true", "get ks app --label-selector !a",
		"export source git app", "export source git --all", "export kustomization app", "export ks --all",
		"tree ks app", "tree ks app -o json", "tree ks app -o yaml", "tree kustomization app --compact",
		"trace configmap one --namespace default", "trace cm/one cm/two --namespace default", "trace one --kind ConfigMap --api-version v1 --namespace default",
		"create source git made --url https://git.example.org/a --tag-semver >=1.0.0 --export",
		"create source helm made --url https://charts.example.org --export", "create source helm made --url oci://charts.example.org/a --export",
		"create source oci made --url oci://registry.example.org/a --tag v1 --export",
		"create source chart made --source HelmRepository/a --chart b --chart-version >1 --export",
		"create source chart made --source HelmRepository/a --chart b --verify-provider cosign --verify-secret-ref k --verify-issuer i --verify-subject s --export",
		"create source oci made --url oci://a/b --tag 1 --verify-provider cosign --verify-secret-ref k --verify-issuer i --export",
		"create source bucket made --bucket-name a --endpoint s3.example.org --region eu --export",
		"create kustomization made --source OCIRepository/a.b --path ./c --prune --depends-on d,e/f --health-check HelmRelease/g.h --export",
		"create helmrelease made --source HelmRepository/a.b --chart c --chart-version >1 --target-namespace d --crds CreateReplace --values-from Secret/e --export",
		"create helmrelease made --chart-ref OCIRepository/a --service-account b --export",
		"create alert made --provider-ref a --event-source Kustomization/*,GitRepository/b.c --event-severity error --export",
		"create alert-provider made --type slack --channel a --secret-ref b --export",
		"create receiver made --type github --event ping,push --secret-ref a --resource GitRepository/b --export",
		"create secret git made --url https://git.example.org/a --username b --password c --export",
		"create secret helm made --username a --password b --export",
		"create secret proxy made --address https://a:1 --username b --password c --export",
		"create tenant made --with-namespace a --with-namespace b --cluster-role admin --export",
	} {
		args := strings.Fields(line)
		want, wantCode := run(t, "flux", args...)
		got, gotCode := run(t, "peyk", args...)
		if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" || wantCode != gotCode {
			t.Errorf("%s: exit code %d with flux, %d with peyk (-flux +peyk):\n%s", line, wantCode, gotCode, diff)
		}
	}
}

// comparable leaves out empty lines at the end, and what flux says while it makes an object that is only printed.
func comparable(out string) string {
	var kept strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "✚ ") {
			kept.WriteString(line)
		}
	}
	return strings.TrimRight(kept.String(), "\n") + "\n"
}

// reconciles asks for passes with both programs, which say the same.
func reconciles(t *testing.T, repo *gittest.Repo) {
	commit := repo.Commit("main", "second", files("2"))
	out := mustRun(t, "flux", "reconcile", "source", "git", "app")
	contains(t, out, "✔ fetched revision main@sha1:"+commit)
	soon(t, func() error {
		if got := value(t, "one"); got != "2" {
			return errors.New("the second commit is not applied: " + got)
		}
		return nil
	})
	commit = repo.Commit("main", "third", files("3"))
	want := mustRun(t, "flux", "reconcile", "kustomization", "app", "--with-source")
	contains(t, want, "✔ fetched revision main@sha1:"+commit, "✔ applied revision main@sha1:"+commit)
	if got := value(t, "one"); got != "3" {
		t.Errorf("the value is %q after the reconciliation of the third commit", got)
	}
	got := mustRun(t, "peyk", "reconcile", "kustomization", "app", "--with-source")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reconcile (-flux +peyk):\n%s", diff)
	}
}

func suspends(t *testing.T) {
	want := mustRun(t, "flux", "suspend", "kustomization", "app")
	contains(t, mustRun(t, "peyk", "get", "ks", "app"), "True     \tTrue ")
	_, code := run(t, "peyk", "reconcile", "ks", "app")
	if code != 1 {
		t.Errorf("reconciling what is suspended: exit code %d, want 1", code)
	}
	wantResumed := mustRun(t, "flux", "resume", "kustomization", "app")
	got := mustRun(t, "peyk", "suspend", "kustomization", "app")
	gotResumed := mustRun(t, "peyk", "resume", "kustomization", "app")
	if diff := cmp.Diff(want+wantResumed, got+gotResumed); diff != "" {
		t.Errorf("suspend and resume (-flux +peyk):\n%s", diff)
	}
}

var age = regexp.MustCompile(`\b\d+[smh](\d+[smh])?\b`)

func hasEvents(t *testing.T) {
	soon(t, func() error {
		if out, _ := run(t, "flux", "events"); !strings.Contains(out, "Kustomization/app") || !strings.Contains(out, "GitRepository/app") {
			return errors.New("events are missing:\n" + out)
		}
		return nil
	})
	contains(t, mustRun(t, "flux", "events", "--for", "Kustomization/app"), "GitRepository/app")
	for _, line := range []string{"events", "events --for Kustomization/app", "events --types Warning", "stats", "stats -A"} {
		want, got := mustRun(t, "flux", strings.Fields(line)...), mustRun(t, "peyk", strings.Fields(line)...)
		if diff := cmp.Diff(tidyEvents(want), tidyEvents(got)); diff != "" {
			t.Errorf("%s (-flux +peyk):\n%s", line, diff)
		}
	}
}

// tidyEvents makes ages the same, and with them the width of their column; peyk counts Packs besides.
func tidyEvents(out string) string {
	var lines []string
	for line := range strings.Lines(age.ReplaceAllString(out, "AGE")) {
		if !strings.HasPrefix(line, "Pack ") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, " ")
}

// diffs changes one object, adds one and leaves one out, beside an object that is as it is in the cluster.
func diffs(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"one.yaml": configMap("one", "4"), "new.yaml": configMap("new", "1")} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	want, wantCode := run(t, "flux", "diff", "kustomization", "app", "--path", dir, "--progress-bar=false")
	contains(t, want, "► ConfigMap/default/new created", "► ConfigMap/default/one drifted", "► ConfigMap/default/two deleted")
	got, gotCode := run(t, "peyk", "diff", "kustomization", "app", "--path", dir, "--progress-bar=false")
	if diff := cmp.Diff(tidyDiff(want), tidyDiff(got)); diff != "" || wantCode != gotCode {
		t.Errorf("diff: exit codes %d and %d (-flux +peyk):\n%s", wantCode, gotCode, diff)
	}
	built := []string{"build", "kustomization", "app", "--path", dir}
	if diff := cmp.Diff(tidyBuild(mustRun(t, "flux", built...)), tidyBuild(mustRun(t, "peyk", built...))); diff != "" {
		t.Errorf("build (-flux +peyk):\n%s", diff)
	}
}

// tidyDiff leaves out the line that says why the exit code is 1.
func tidyDiff(out string) string {
	before, _, _ := strings.Cut(out, "✗ ")
	before, _, _ = strings.Cut(before, "⚠️ ")
	return strings.TrimSpace(before)
}

// tidyBuild leaves out the line between documents where there is none: flux ends a document with it, peyk begins one.
func tidyBuild(out string) string { return strings.Trim(out, "-\n") }

func deletes(t *testing.T) {
	contains(t, mustRun(t, "flux", "delete", "kustomization", "app", "--silent"), "✔ kustomization deleted")
	soon(t, func() error {
		if value(t, "two") != "" {
			return errors.New("what the Kustomization applied is still there")
		}
		return nil
	})
	contains(t, mustRun(t, "peyk", "delete", "source", "git", "app", "--silent"), "✔ source git deleted")
	soon(t, func() error {
		if out, code := run(t, "flux", "get", "sources", "git", "app"); code != 1 || !strings.Contains(out, "'app' not found") {
			return errors.New("the source is still there:\n" + out)
		}
		return nil
	})
}

// value is that of a ConfigMap that the tests apply; empty when there is none.
func value(t *testing.T, name string) string {
	t.Helper()
	found := &corev1.ConfigMap{}
	err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: name}, found)
	check(t, client.IgnoreNotFound(err))
	return found.Data["key"]
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in:\n%s", part, text)
		}
	}
}
