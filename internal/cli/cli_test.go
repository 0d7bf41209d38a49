package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
	"github.com/peyk/peyk/internal/operator"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// newClient returns a client of a fake cluster that holds the objects.
func newClient(t *testing.T, hooks interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme, err := operator.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(hooks).Build()
}

// newApp returns a command line that speaks to the client.
func newApp(c client.WithWatch) *cli.App {
	return &cli.App{Version: "v1.2.3", Poll: time.Millisecond, Connect: func(access cli.Access) (*cli.Cluster, error) {
		namespace := access.Namespace
		if namespace == "" {
			namespace = "base"
		}
		return &cli.Cluster{Client: c, Namespace: namespace}, nil
	}}
}

func run(t *testing.T, app *cli.App, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, problems bytes.Buffer
	code = app.Run(t.Context(), args, &out, &problems)
	return out.String(), problems.String(), code
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: write it with go test ./internal/cli -update", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("output differs from %s (-want +got):\n%s", file, diff)
	}
}

func condition(status metav1.ConditionStatus, message string) []metav1.Condition {
	return []metav1.Condition{{Type: "Ready", Status: status, Reason: "R", Message: message, LastTransitionTime: metav1.Unix(0, 0)}}
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: 1, Labels: map[string]string{"team": namespace}}
}

const revision = "main@sha1:0123456789abcdef0123456789abcdef01234567"

func inventory() []client.Object {
	return []client.Object{
		&packv1.Pack{
			ObjectMeta: named("base", "postgres"), Spec: packv1.PackSpec{Chart: packv1.PackChart{Name: "postgres"}},
			Status: packv1.PackStatus{ResolvedVersion: "0.6.3", NewestVersion: "0.6.3", Phase: packv1.PackApplied, ObservedGeneration: 1, Conditions: condition("True", "release postgres.v1 is healthy")},
		},
		&packv1.Pack{
			ObjectMeta: named("shop", "sample-app"), Spec: packv1.PackSpec{Chart: packv1.PackChart{Name: "simplepack"}},
			Status: packv1.PackStatus{Phase: packv1.PackInvalid, Conditions: condition("False", "spec.values.workloads.main.image:\n  undefined var DOCKER_TAG")},
		},
		&packv1.Pack{ObjectMeta: named("base", "new"), Spec: packv1.PackSpec{Chart: packv1.PackChart{Name: "redis"}}},
		&packv1.Pack{
			ObjectMeta: named("shop", "web"), Spec: packv1.PackSpec{Chart: packv1.PackChart{Name: "genpack", Version: new("~=0.1.99")}},
			Status: packv1.PackStatus{ResolvedVersion: "0.1.99", NewestVersion: "0.1.101", Phase: packv1.PackApplied, ObservedGeneration: 1, Conditions: condition("True", "version 0.1.101 is available")},
		},
		&peykv1.PackSync{
			ObjectMeta: named("shop", "deploy"), Spec: peykv1.PackSyncSpec{URL: "https://git.example.org/shop.git"},
			Status: peykv1.PackSyncStatus{Revision: revision, Connected: "1/2", ObservedGeneration: 1, Conditions: condition("True", "1/2 Packs in sync with branch main")},
		},
		&packv1.SecretReflector{
			ObjectMeta: named("shop", "registry"), Spec: packv1.SecretReflectorSpec{SecretRef: packv1.ReflectedSecret{Name: "login"}, Suspend: true},
			Status: packv1.SecretReflectorStatus{Synced: "12/14", ObservedGeneration: 1, Conditions: condition("False", "2 of 14 targets have another Secret of that name")},
		},
		&ksv1.Kustomization{
			ObjectMeta: named("base", "apps"), Spec: ksv1.KustomizationSpec{SourceRef: ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "deploy"}},
			Status: ksv1.KustomizationStatus{LastAppliedRevision: revision, ObservedGeneration: 1, Conditions: condition("True", "Applied revision: "+revision)},
		},
		&ksv1.Kustomization{ObjectMeta: named("base", "paused"), Spec: ksv1.KustomizationSpec{Suspend: true}},
		&sourcev1.GitRepository{
			ObjectMeta: named("base", "deploy"),
			Status: sourcev1.GitRepositoryStatus{
				ObservedGeneration: 1, Artifact: &meta.Artifact{Revision: revision}, Conditions: condition("True", "stored artifact for revision '"+revision+"'"),
			},
		},
		&packv1.ClusterPackRepository{
			ObjectMeta: metav1.ObjectMeta{Name: "kubit-paas"}, Spec: packv1.PackRepositorySpec{URL: "builtin://kubit-paas"},
			Status: packv1.PackRepositoryStatus{Charts: new(3), Conditions: condition("True", "3 charts")},
		},
	}
}

func TestGet(t *testing.T) {
	cases := map[string]string{
		"get-packs":          "get packs",
		"get-packs-all":      "get packs -A",
		"get-packs-selected": "get pk -A -l team=shop",
		"get-pack-name":      "get pack postgres",
		"get-packsyncs":      "get pks -n shop",
		"get-reflectors":     "get secretreflectors -A",
		"pack-list":          "pack list -n shop",
		"get-pack-json":      "get pack postgres -o json",
		"get-packs-yaml":     "get packs -A -o yaml",
		"get-ks":             "get ks",
		"get-sources":        "get sources",
		"get-sources-git":    "get sources git -A",
		"get-repositories":   "get repositories",
		"get-all":            "get all -A",
		"get-none":           "get receivers",
	}
	app := newApp(newClient(t, interceptor.Funcs{}, inventory()...))
	for name, line := range cases {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, app, strings.Fields(line)...)
			if code != cli.ExitOK {
				t.Errorf("exit code = %d, want 0", code)
			}
			golden(t, name, stdout+stderr)
		})
	}
}

func TestExitCodes(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://127.0.0.1:1", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
	packsResource := schema.GroupResource{Group: "k8s.kubit.ir", Resource: "packs"}
	cases := map[string]struct {
		line string
		list error
		code int
		want string
	}{
		"unknown command":      {line: "gte", code: cli.ExitUsage, want: `did you mean "get"?`},
		"unknown kind":         {line: "get pakcs", code: cli.ExitUsage, want: `did you mean "packs"?`},
		"unknown flag":         {line: "get packs --wide", code: cli.ExitUsage, want: "--wide"},
		"bad flag":             {line: "get packs --timeout soon", code: cli.ExitUsage, want: "soon"},
		"unknown output":       {line: "get packs -o xml", code: cli.ExitUsage, want: "table, json, yaml"},
		"bad selector":         {line: "get packs -l a=b=c", code: cli.ExitUsage, want: "selector"},
		"watch of several":     {line: "get all -w", code: cli.ExitUsage, want: "name it"},
		"too many arguments":   {line: "get packs a b", code: cli.ExitUsage, want: "at most 1 arg"},
		"name in every one":    {line: "get packs a -A", code: cli.ExitUsage, want: "leave --all-namespaces out"},
		"reconcile what":       {line: "reconcile pack", code: cli.ExitUsage, want: "accepts 1 arg"},
		"install without":      {line: "install --image Not:An:Image", code: cli.ExitUsage, want: "Not:An:Image"},
		"bad size":             {line: "build --tag a --max-size big", code: cli.ExitUsage, want: "20MB"},
		"bad log level":        {line: "operator --log-level loud", code: cli.ExitUsage, want: "debug, info, warn, error"},
		"no such pack":         {line: "get packs missing", code: cli.ExitNotFound, want: `there is no Pack "missing" in the namespace "base"`},
		"nothing to reconcile": {line: "reconcile ks missing", code: cli.ExitNotFound, want: `there is no Kustomization "missing"`},
		"nobody listens":       {line: "get packs", list: refused, code: cli.ExitUnreachable, want: "check that it runs"},
		"who are you":          {line: "get packs", list: apierrors.NewUnauthorized("no"), code: cli.ExitUnreachable, want: "log in again"},
		"not allowed":          {line: "get packs", list: apierrors.NewForbidden(packsResource, "", errors.New("no")), code: cli.ExitFailed, want: "use a context that has the right"},
		"not installed": {
			line: "get packs", list: &apimeta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Pack"}}, code: cli.ExitFailed, want: "peyk install",
		},
		"no kubeconfig context": {line: "version", code: cli.ExitOK},
		"build fails":           {line: "build /nonexistent --tag a", code: cli.ExitFailed, want: "name a Go main package"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			hooks := interceptor.Funcs{}
			if c.list != nil {
				hooks.List = func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return c.list }
			}
			_, stderr, code := run(t, newApp(newClient(t, hooks)), strings.Fields(c.line)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("peyk %s: exit code %d and %q, want %d and %q", c.line, code, stderr, c.code, c.want)
			}
		})
	}
}

func TestKubeconfigErrors(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(empty, []byte("apiVersion: v1\nkind: Config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(gone, []byte(`{apiVersion: v1, kind: Config, current-context: c,
		clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}], contexts: [{name: c, context: {cluster: c}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		want string
	}{
		"empty":           {[]string{"get", "packs", "--kubeconfig", empty}, "no cluster is configured"},
		"unknown context": {[]string{"get", "packs", "--kubeconfig", gone, "--context", "x"}, "kubectl config get-contexts"},
		"its short form":  {[]string{"get", "packs", "--kubeconfig", gone, "-x", "other"}, `context "other" does not exist`},
		"nobody listens":  {[]string{"get", "packs", "--kubeconfig", gone}, "check that it runs"},
		"install":         {[]string{"install", "--image", "a", "--kubeconfig", gone}, "check that it runs"},
		"operator":        {[]string{"operator", "--kubeconfig", gone, "--metrics-addr", "0", "--data-dir", t.TempDir()}, "check that it runs"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := (&cli.App{Version: "dev"}).Run(t.Context(), c.args, io.Discard, &stderr)
			if code != cli.ExitUnreachable || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("exit code %d and %q, want 3 and %q", code, stderr.String(), c.want)
			}
		})
	}
}

// Every command says what it does and shows how.
func TestHelp(t *testing.T) {
	for _, line := range []string{
		"bootstrap", "bootstrap git", "build kustomization", "check", "create", "create source git", "create secret receiver", "create tenant", "delete", "delete source git",
		"diff kustomization", "diff helmrelease", "diff pack", "events", "export", "logs", "migrate", "resume", "stats", "suspend", "trace", "tree kustomization", "uninstall",
		"", "build", "get", "get all", "get packs", "get kustomizations", "get receivers", "get repositories", "get sources", "get sources git",
		"clear-cache", "helm-diff", "helm-template", "install", "operator", "pack", "pack git remove", "pack token", "reconcile", "reconcile pack", "reconcile kustomization", "reconcile source", "reconcile source git", "version",
	} {
		stdout, stderr, code := run(t, newApp(nil), append(strings.Fields(line), "--help")...)
		usage := "Usage:\n  " + strings.TrimSpace("peyk "+line)
		if code != cli.ExitOK || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, usage) {
			t.Errorf("peyk %s --help: exit code %d, %q, %q: want a description, its usage and examples", line, code, stdout, stderr)
		}
	}
}

func TestVersionAndCompletion(t *testing.T) {
	stdout, _, code := run(t, newApp(nil), "version")
	if code != cli.ExitOK || !strings.HasPrefix(stdout, "peyk v1.2.3 go") {
		t.Errorf("version: exit code %d, %q", code, stdout)
	}
	stdout, _, code = run(t, newApp(nil), "completion", "bash")
	if code != cli.ExitOK || !strings.Contains(stdout, "__start_peyk") {
		t.Errorf("completion: exit code %d, %d bytes", code, len(stdout))
	}
}

func TestInstallExport(t *testing.T) {
	stdout, stderr, code := run(t, newApp(nil), "install", "--export", "--ingress-host", "peyk.example.org")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"image: ghcr.io/peyk/peyk:v1.2.3", "namespace: peyk-system", "kind: CustomResourceDefinition", "host: peyk.example.org"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the export has no %q", want)
		}
	}
}
