package cli_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/cli"
)

// tree writes files to a folder of the test's own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o750))
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return dir
}

func TestPathsAreIgnored(t *testing.T) {
	const ks = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: a}}\n"
	cm := func(name string) string { return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n" }
	manifests := map[string]string{
		"ks.yaml": ks, "deploy/kept.yaml": cm("kept"), "deploy/notes.yaml": "- not an object\n", "deploy/drafts/a/b.yaml": cm("draft"), "deploy/sub/notes.yaml": cm("below"), "deploy/sub/kept.yaml": cm("kept-below"),
	}
	listed := map[string]string{
		"ks.yaml": ks, "deploy/kept.yaml": cm("kept"), "deploy/notes.yaml": "- not an object\n", "deploy/kustomization.yaml": "resources: [kept.yaml, ./notes.yaml]\n",
	}
	cases := map[string]struct {
		files   map[string]string
		ignored string
		code    int
		want    []string
		without []string
	}{
		"nothing":     {manifests, "", cli.ExitFailed, nil, nil},
		"by pattern":  {manifests, "notes.yaml,/drafts/**/*.yaml", cli.ExitOK, []string{"name: kept", "name: kept-below"}, []string{"draft", "below\n  ", "name: below"}},
		"at the root": {manifests, "/notes.yaml", cli.ExitOK, []string{"name: below", "name: draft"}, nil},
		"listed":      {listed, "notes.yaml", cli.ExitOK, []string{"name: kept"}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, c.files)
			args := []string{"build", "ks", "apps", "--path", filepath.Join(dir, "deploy"), "--kustomization-file", filepath.Join(dir, "ks.yaml"), "--dry-run"}
			if c.ignored != "" {
				args = append(args, "--ignore-paths", c.ignored)
			}
			stdout, stderr, code := run(t, newApp(nil), args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("there is no %q in:\n%s", want, stdout)
				}
			}
			for _, unwanted := range c.without {
				if strings.Contains(stdout, unwanted) {
					t.Errorf("there is a %q in:\n%s", unwanted, stdout)
				}
			}
		})
	}
}

// What a comparison fails with is told from what it finds.
func TestDiffExitCodes(t *testing.T) {
	dir := tree(t, map[string]string{
		"good/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: base}\n", "bad/a.yaml": "kind: [\n",
		"hr.yaml": "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\nspec: {interval: 1m}\n",
	})
	cases := map[string]struct {
		line string
		code int
		want string
	}{
		"differs":         {"diff ks apps --path " + dir + "/good", cli.ExitFailed, "identified at least one change"},
		"does not build":  {"diff ks apps --path " + dir + "/bad", cli.ExitTrouble, "a.yaml"},
		"no such object":  {"diff ks none --path " + dir + "/good", cli.ExitNotFound, "--kustomization-file"},
		"release missing": {"diff hr none", cli.ExitNotFound, `there is no HelmRelease "none"`},
		"no such file":    {"diff hr web -f " + dir + "/none.yaml", cli.ExitUsage, "--filename"},
		"not in the file": {"diff hr other -f " + dir + "/hr.yaml", cli.ExitUsage, "holds no HelmRelease"},
		"no such chart":   {"diff pack postgres --chart " + dir + "/none", cli.ExitUsage, "--chart"},
		"source":          {"build hr web --local-sources a=" + dir, cli.ExitUsage, "Kind/namespace/name"},
		"without cluster": {"diff hr web -f " + dir + "/hr.yaml", cli.ExitTrouble, "needs a cluster"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := run(t, newApp(newClient(t, dryRuns(), everything()...)), strings.Fields(c.line)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("peyk %s: exit code %d and %q, want %d and %q", c.line, code, stderr, c.code, c.want)
			}
		})
	}
}

// dryRuns leaves the fake cluster as it is, as a dry run does.
func dryRuns() interceptor.Funcs {
	return interceptor.Funcs{Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
		return nil
	}}
}

// debugged has a HelmRelease and a Kustomization that put things together of others.
func debugged() []client.Object {
	return []client.Object{
		&corev1.Secret{ObjectMeta: named("base", "hidden"), Data: map[string][]byte{"values.yaml": []byte("a: {b: secret, c: kept}"), "TOKEN": []byte("t0ken\n")}},
		&helmv2.HelmRelease{
			ObjectMeta: named("base", "web"), Spec: helmv2.HelmReleaseSpec{
				ValuesFrom: []meta.ValuesReference{{Kind: "Secret", Name: "hidden"}}, Values: &apiextensionsv1.JSON{Raw: []byte(`{"a":{"b":"over"}}`)},
			},
			Status: helmv2.HelmReleaseStatus{ObservedGeneration: 3, History: helmv2.Snapshots{{ChartName: "web", Version: 1}}},
		},
		&ksv1.Kustomization{ObjectMeta: named("base", "plain")},
		&ksv1.Kustomization{
			ObjectMeta: named("base", "apps"), Spec: ksv1.KustomizationSpec{PostBuild: &ksv1.PostBuild{
				Substitute: map[string]string{"B": "two"}, SubstituteFrom: []ksv1.SubstituteReference{{Kind: "Secret", Name: "hidden"}},
			}},
			Status: ksv1.KustomizationStatus{LastAppliedRevision: revision},
		},
	}
}

func TestDebug(t *testing.T) {
	cases := map[string]struct {
		line string
		code int
		out  string
		want string
	}{
		"values":       {"debug hr web --show-values", cli.ExitOK, "a:\n  b: over\n  c: kept\n", "Secrets hold"},
		"variables":    {"debug ks apps --show-vars", cli.ExitOK, "B=two\nTOKEN=t0ken\nvalues.yaml=a: {b: secret, c: kept}\n", "Secrets hold"},
		"status":       {"debug ks apps --show-status", cli.ExitOK, "lastAppliedRevision: " + revision + "\n", ""},
		"history":      {"debug helmrelease web --show-history", cli.ExitOK, "chartName: web", ""},
		"no history":   {"debug ks plain --show-history", cli.ExitOK, "[]\n", ""},
		"no variables": {"debug ks plain --show-vars", cli.ExitFailed, "", "no spec.postBuild"},
		"two at once":  {"debug hr web --show-values --show-status", cli.ExitUsage, "", "exactly one of --show-status, --show-values"},
		"none":         {"debug hr web", cli.ExitUsage, "", "exactly one of"},
		"missing":      {"debug hr none --show-status", cli.ExitNotFound, "", `there is no HelmRelease "none"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{}, debugged()...)), strings.Fields(c.line)...)
			if code != c.code || !strings.Contains(stdout, c.out) || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, %q, %q; want %d, %q, %q", code, stdout, stderr, c.code, c.out, c.want)
			}
			if !strings.Contains(c.line, "values") && !strings.Contains(c.line, "vars") && strings.Contains(stdout+stderr, "t0ken") {
				t.Errorf("a secret is printed unasked:\n%s%s", stdout, stderr)
			}
		})
	}
}

// Whatever a command asks of the cluster: what it may not do, and what the cluster does not know, is said with what to do.
func TestEveryCommandSaysWhatToDo(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New("no"))
	unknown := &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Thing"}}
	dir := tree(t, map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: base}\n"})
	for _, line := range []string{
		"get all", "get ks", "get hr web", "get sources git", "reconcile ks apps", "reconcile source git app", "suspend ks apps", "resume hr web", "export ks apps", "export source git --all",
		"delete ks apps --silent", "tree ks apps", "trace cm --kind ConfigMap --api-version v1", "events", "stats", "debug hr web --show-values", "diff hr web", "diff pack a", "build hr web",
		"diff ks apps --path " + dir, "build ks apps --path " + dir, "create source git a --url https://h/a --branch main", "create secret git a --url https://h/a -u a -p b", "create tenant a --with-namespace b",
		"migrate", "uninstall --silent",
	} {
		for want, problem := range map[string]error{"use a context that has the right": forbidden, "peyk install": unknown} {
			_, stderr, code := run(t, newApp(newClient(t, refusing(problem))), strings.Fields(line)...)
			wantCode := cli.ExitFailed
			if strings.HasPrefix(line, "diff") {
				wantCode = cli.ExitTrouble
			}
			if code != wantCode || !strings.Contains(stderr, want) {
				t.Errorf("peyk %s: exit code %d and %q, want %d and %q", line, code, stderr, wantCode, want)
			}
		}
	}
}

// refusing answers everything with the error.
func refusing(err error) interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return err
		},
		List:   func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return err },
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return err },
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error { return err },
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return err
		},
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return err },
	}
}
