package cli_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/cli"
)

// everything has an object of every kind of Flux.
func everything() []client.Object {
	ready := condition("True", "fetched")
	artifact := &meta.Artifact{Revision: "latest@sha256:" + strings.Repeat("ab", 32), Size: new(int64(3 << 20))}
	return append(inventory(),
		&sourcev1.OCIRepository{ObjectMeta: named("base", "manifests"), Status: sourcev1.OCIRepositoryStatus{ObservedGeneration: 1, Artifact: artifact, Conditions: ready}},
		&sourcev1.Bucket{ObjectMeta: named("base", "store"), Status: sourcev1.BucketStatus{Conditions: condition("False", "no such bucket")}},
		&sourcev1.HelmRepository{ObjectMeta: named("base", "charts"), Spec: sourcev1.HelmRepositorySpec{Type: "oci", URL: "oci://registry.example.org/charts"}},
		&sourcev1.HelmChart{ObjectMeta: named("base", "base-web"), Status: sourcev1.HelmChartStatus{Artifact: &meta.Artifact{Revision: "1.2.3"}, Conditions: ready}},
		&sourcev1.ExternalArtifact{
			ObjectMeta: named("base", "made"), Spec: sourcev1.ExternalArtifactSpec{SourceRef: &meta.NamespacedObjectKindReference{Kind: "Maker", Namespace: "base", Name: "it"}},
			Status: sourcev1.ExternalArtifactStatus{Artifact: artifact, Conditions: ready},
		},
		&helmv2.HelmRelease{
			ObjectMeta: named("base", "web"), Spec: helmv2.HelmReleaseSpec{ChartRef: &helmv2.CrossNamespaceSourceReference{Kind: "OCIRepository", Name: "manifests"}},
			Status: helmv2.HelmReleaseStatus{ObservedGeneration: 1, Conditions: condition("True", "Helm install succeeded"), History: helmv2.Snapshots{{ChartVersion: "1.2.3", Name: "web", Namespace: "base", Version: 1}}},
		},
		&notificationv1.Receiver{ObjectMeta: named("base", "hook"), Status: notificationv1.ReceiverStatus{ObservedGeneration: 1, Conditions: condition("True", "ready")}},
		&notificationv1beta3.Provider{ObjectMeta: named("base", "chat")},
		&notificationv1beta3.Alert{ObjectMeta: named("base", "all"), Spec: notificationv1beta3.AlertSpec{Suspend: true}},
	)
}

// Each of these lines is answered without a controller.
func TestCommands(t *testing.T) {
	cases := map[string]string{
		"all":                  "get all -A",
		"all-not-ready":        "get all -A --status-selector ready!=true",
		"sources":              "get sources all --no-header",
		"sources-helm":         "get sources helm",
		"releases":             "get hr --show-source",
		"alert-providers":      "get alert-providers",
		"stats":                "stats -A",
		"stats-json":           "stats -n shop -o json",
		"export-hr":            "export helmrelease web",
		"export-all":           "export ks --all",
		"suspend":              "suspend kustomization apps",
		"suspend-all":          "suspend source oci --all",
		"resume-alert":         "resume alert all",
		"resume-all":           "resume ks --all",
		"suspend-packsync":     "suspend packsync deploy -n shop",
		"resume-reflector":     "resume secretreflector registry --wait=false -n shop",
		"export-packsync":      "export packsync deploy -n shop",
		"delete-reflector":     "delete sref registry --silent -n shop",
		"delete":               "delete alert-provider chat --silent",
		"tree":                 "tree ks apps",
		"create-receiver":      "create receiver app --type github --event push --secret-ref token --resource GitRepository/app --label team=web --export",
		"create-tenant":        "create tenant shop --with-namespace shop-test --cluster-role admin",
		"create-secret-tls":    "create secret tls certs --ca-crt-file testdata/ca.txt --export",
		"create-secret-oci":    "create secret oci ghcr --url ghcr.io/org --username reader --password pass --export",
		"create-secret-git":    "create secret git app --url https://git.example.org/app --username git --password pass",
		"create-source-bucket": "create source bucket app --bucket-name app --endpoint s3.example.org --access-key id --secret-key key --export",
		"migrate":              "migrate",
		"uninstall-dry":        "uninstall --dry-run",
	}
	for name, line := range cases {
		t.Run(name, func(t *testing.T) {
			app := newApp(newClient(t, interceptor.Funcs{}, everything()...))
			stdout, stderr, code := run(t, app, strings.Fields(line)...)
			if code != cli.ExitOK {
				t.Errorf("exit code = %d, want 0", code)
			}
			golden(t, "command-"+name, stdout+stderr)
		})
	}
}

func TestWrongCommands(t *testing.T) {
	cases := map[string]struct {
		line string
		code int
		want string
	}{
		"suspend what":      {"suspend ks", cli.ExitUsage, "--all"},
		"suspend nothing":   {"suspend ks missing", cli.ExitNotFound, `there is no Kustomization "missing"`},
		"resume nothing":    {"resume source bucket --all -n shop", cli.ExitNotFound, "there is no Bucket"},
		"delete unanswered": {"delete ks apps", cli.ExitFailed, "--silent"},
		"status selector":   {"get ks --status-selector ready", cli.ExitUsage, "ready=false"},
		"git without ref":   {"create source git a --url https://h/a", cli.ExitUsage, "--branch"},
		"git address":       {"create source git a --url git@h:a --branch main", cli.ExitUsage, "ssh://"},
		"ks path":           {"create ks a --source b --path /etc", cli.ExitUsage, "begins with ./"},
		"ks source":         {"create ks a", cli.ExitUsage, "Kind/name"},
		"hr chart":          {"create hr a", cli.ExitUsage, "--chart"},
		"hr crds":           {"create hr a --chart b --source c --crds all", cli.ExitUsage, "CreateReplace"},
		"label":             {"create tenant a --with-namespace b --label x", cli.ExitUsage, "name=value"},
		"object name":       {"create secret proxy A_b --address x", cli.ExitUsage, "RFC 1123"},
		"receiver type":     {"create receiver a --type carrier-pigeon --secret-ref b", cli.ExitUsage, "github"},
		"events of what":    {"events --for Pigeon/a", cli.ExitUsage, "Pigeon"},
		"event types":       {"events --types Loud", cli.ExitUsage, "Warning"},
		"diff path":         {"diff ks apps --path /nonexistent", cli.ExitUsage, "folder that exists"},
		"dry run of what":   {"build ks apps --path . --dry-run", cli.ExitUsage, "--kustomization-file"},
		"logs time":         {"logs --since-time noon", cli.ExitUsage, "2006-01-02"},
		"no operator":       {"check", cli.ExitFailed, "peyk install"},
		"bootstrap address": {"bootstrap git --url nowhere", cli.ExitUsage, "ssh://"},
		"bootstrap http":    {"bootstrap git --url http://h/a --password b", cli.ExitUsage, "--allow-insecure-http"},
		"bootstrap extra":   {"bootstrap git --url https://h/a --components-extra=pigeon", cli.ExitUsage, "image-automation-controller"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{}, everything()...)), strings.Fields(c.line)...)
			if code != c.code || !strings.Contains(stderr, c.want) {
				t.Errorf("peyk %s: exit code %d and %q, want %d and %q", c.line, code, stderr, c.code, c.want)
			}
		})
	}
}

// Suspending sets the field, and resuming removes it, so that nobody else's apply finds it changed.
func TestSuspendAndResume(t *testing.T) {
	c := newClient(t, interceptor.Funcs{}, everything()...)
	suspended := func() bool {
		k := &ksv1.Kustomization{}
		must(t, c.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "apps"}, k))
		return k.Spec.Suspend
	}
	for _, want := range []bool{true, false} {
		verb := map[bool]string{true: "suspend", false: "resume"}[want]
		if _, stderr, code := run(t, newApp(c), verb, "ks", "apps"); code != cli.ExitOK || suspended() != want {
			t.Errorf("%s: exit code %d, suspended %v: %s", verb, code, suspended(), stderr)
		}
	}
}

// The second call changes what the first one made; neither the output nor an error has the password.
func TestCreateUpdatesWhatIsThere(t *testing.T) {
	c := newClient(t, interceptor.Funcs{}, everything()...)
	line := []string{"create", "secret", "helm", "charts", "--username", "reader", "--password"}
	for _, password := range []string{"first-password", "second-password"} {
		if out, stderr, code := run(t, newApp(c), append(line, password)...); code != cli.ExitOK || strings.Contains(out+stderr, password) {
			t.Fatalf("exit code %d: %s%s", code, out, stderr)
		}
	}
	secret := &corev1.Secret{}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "charts"}, secret))
	if got := secret.StringData["password"]; got != "second-password" {
		t.Errorf("the password is %q after the second call", got)
	}

	refused := interceptor.Funcs{Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
		return apierrors.NewBadRequest("no")
	}}
	_, stderr, code := run(t, newApp(newClient(t, refused, secret)), append(line, "third-password")...)
	if code != cli.ExitFailed || strings.Contains(stderr, "third-password") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestBuildWithoutCluster(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ks.yaml":       "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {interval: 1m, prune: true, sourceRef: {kind: GitRepository, name: a}, postBuild: {substitute: {who: world}}}\n",
		"deploy/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: base}\ndata: {hello: '${who}${nobody}'}\n",
		"deploy/s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: base}\nstringData: {password: top-secret}\n",
	} {
		file := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(file), 0o750))
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	args := []string{"build", "ks", "apps", "--path", filepath.Join(dir, "deploy"), "--kustomization-file", filepath.Join(dir, "ks.yaml"), "--dry-run"}
	stdout, stderr, code := run(t, newApp(nil), args...)
	if code != cli.ExitOK || strings.Contains(stdout, "top-secret") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	golden(t, "command-build", stdout)
	_, stderr, code = run(t, newApp(nil), append(args, "--strict-substitute")...)
	if code != cli.ExitFailed || !strings.Contains(stderr, "${nobody}") {
		t.Errorf("strictly: exit code %d: %s", code, stderr)
	}
}

func TestTraceAndEvents(t *testing.T) {
	applied := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "base", Labels: map[string]string{
		"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "base",
	}}}
	plain := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "plain", Namespace: "base"}}
	app := newApp(newClient(t, interceptor.Funcs{}, append(everything(), applied, plain)...))
	stdout, stderr, code := run(t, app, "trace", "cm", "--kind", "ConfigMap", "--api-version", "v1")
	if code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	golden(t, "command-trace", strings.ReplaceAll(stdout, metav1.Unix(0, 0).String(), "THE EPOCH"))
	if _, stderr, code = run(t, app, "trace", "plain", "--kind", "ConfigMap", "--api-version", "v1"); code != cli.ExitFailed || !strings.Contains(stderr, "not managed by Peyk") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code = run(t, app, "events"); code != cli.ExitOK || !strings.Contains(stderr, "No events found in base namespace.") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestNamesAreCompleted(t *testing.T) {
	app := newApp(newClient(t, interceptor.Funcs{}, everything()...))
	stdout, _, _ := run(t, app, "__complete", "reconcile", "kustomization", "a")
	if names := strings.Fields(stdout); !slices.Contains(names, "apps") || slices.Contains(names, "paused") {
		t.Errorf("completed %q, want apps", stdout)
	}
}
