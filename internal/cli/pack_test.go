package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
	"github.com/peyk/peyk/internal/pack"
)

// runningPack is a Pack that is applied, with a label of its team.
func runningPack(name, team string) *packv1.Pack {
	return &packv1.Pack{
		ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: name, UID: "6f1d4c1e-0000-4000-8000-00000000000" + "1", Generation: 1, Labels: map[string]string{"team": team}},
		Spec:       packv1.PackSpec{Chart: packv1.PackChart{Name: "simplepack", Version: new("~=0.3.1")}, Volumes: packv1.VolumesKeep},
		Status: packv1.PackStatus{
			ObservedGeneration: 1, Phase: packv1.PackApplied, ResolvedVersion: "0.3.1", NewestVersion: "0.3.3", AvailableVersion: "0.5.0",
			Conditions: condition("True", "applied as revision 1"),
		},
	}
}

// obedient plays an operator that acts on every request at once; the Pack named broken is not ready after that.
func obedient() interceptor.Funcs {
	act := func(ctx context.Context, c client.WithWatch, name, namespace string) error {
		live := &packv1.Pack{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, live); err != nil {
			return client.IgnoreNotFound(err)
		}
		live.Status.LastHandledRestartAt = live.Annotations[packv1.RestartAnnotation]
		live.Status.LastHandledReinstallAt = live.Annotations[packv1.ReinstallAnnotation]
		live.Status.LastHandledReconcileAt = live.Annotations[meta.ReconcileRequestAnnotation]
		live.Status.ObservedGeneration = live.Generation
		if name == "broken" {
			live.Status.Conditions = condition("False", "the chart does not render")
		}
		return c.Update(ctx, live)
	}
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := c.Patch(ctx, obj, patch, opts...); err != nil {
				return err
			}
			return act(ctx, c, obj.GetName(), obj.GetNamespace())
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			obj.SetGeneration(obj.GetGeneration() + 1) // the fake does not count
			if err := c.Update(ctx, obj, opts...); err != nil {
				return err
			}
			return act(ctx, c, obj.GetName(), obj.GetNamespace())
		},
	}
}

func TestPackRequests(t *testing.T) {
	cases := map[string]struct {
		args     string
		code     int
		says     string
		touched  string
		handled  func(packv1.PackStatus) string
		untouced string
	}{
		"restart one":         {"restart web", cli.ExitOK, "Pack web is ready", "web", func(s packv1.PackStatus) string { return s.LastHandledRestartAt }, "api"},
		"reinstall by label":  {"reinstall -l team=b", cli.ExitOK, "reinstalling Pack api", "api", func(s packv1.PackStatus) string { return s.LastHandledReinstallAt }, "web"},
		"sync several":        {"sync web api", cli.ExitOK, "Pack api is ready", "api", func(s packv1.PackStatus) string { return s.LastHandledReconcileAt }, "broken"},
		"all, one not ready":  {"restart --all", cli.ExitFailed, "Pack base/broken is not ready: the chart does not render", "web", func(s packv1.PackStatus) string { return s.LastHandledRestartAt }, ""},
		"without waiting":     {"restart broken --no-wait", cli.ExitOK, "restarting Pack broken", "broken", func(s packv1.PackStatus) string { return s.LastHandledRestartAt }, "web"},
		"none named":          {"restart", cli.ExitUsage, "say which Packs", "", nil, "web"},
		"named and selected":  {"restart web --all", cli.ExitUsage, "say which Packs", "", nil, "web"},
		"wrong selector":      {"restart -l ==", cli.ExitUsage, "selector", "", nil, "web"},
		"no such Pack":        {"restart web nope", cli.ExitNotFound, `there is no Pack "nope"`, "", nil, "web"},
		"none of that label":  {"restart -l team=z", cli.ExitNotFound, "there is no such Pack", "", nil, "web"},
		"a suspended one too": {"restart web paused", cli.ExitFailed, "peyk resume pack paused", "", nil, "web"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{runningPack("web", "a"), runningPack("api", "b"), runningPack("broken", "c")}
			if strings.Contains(c.args, "paused") {
				paused := runningPack("paused", "p")
				paused.Spec.Suspend = true
				objects = append(objects, paused)
			}
			cluster := newClient(t, obedient(), objects...)
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Fatalf("exit code %d, want %d:\n%s%s\nwant %q", code, c.code, stdout, stderr, c.says)
			}
			if c.touched != "" && c.handled(readPack(t, cluster, c.touched).Status) == "" {
				t.Errorf("Pack %s was not asked", c.touched)
			}
			if c.untouced != "" && len(readPack(t, cluster, c.untouced).Annotations) > 0 {
				t.Errorf("Pack %s was asked too", c.untouced)
			}
		})
	}
}

func readPack(t *testing.T, c client.Client, name string) *packv1.Pack {
	t.Helper()
	live := &packv1.Pack{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: name}, live); err != nil {
		t.Fatal(err)
	}
	return live
}

func tagged(tag string) map[string]apiextensionsv1.JSON {
	return map[string]apiextensionsv1.JSON{"DOCKER_TAG": {Raw: []byte(`"` + tag + `"`)}}
}

// withHistory is a Pack of which three tags were applied.
func withHistory(t *testing.T) client.WithWatch {
	t.Helper()
	obj := runningPack("web", "a")
	cluster := newClient(t, obedient(), obj)
	for _, tag := range []string{"one", "two", "three"} {
		obj.Spec.Vars = tagged(tag)
		number, err := pack.Record(t.Context(), cluster, cluster, obj)
		if err != nil {
			t.Fatal(err)
		}
		obj.Status.Revision = number
	}
	live := readPack(t, cluster, "web")
	live.Spec, live.Status = obj.Spec, obj.Status
	if err := cluster.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	return cluster
}

func TestPackHistoryAndRollback(t *testing.T) {
	cases := map[string]struct {
		args string
		code int
		says string
		tag  string
	}{
		"history":           {"history web", cli.ExitOK, "0.3.1", "three"},
		"history of nobody": {"history nope", cli.ExitNotFound, "there is no Pack", "three"},
		"back one":          {"rollback web", cli.ExitOK, "to revision 2", "two"},
		"back to the first": {"rollback web --to 1", cli.ExitOK, "changed in the cluster", "one"},
		"to where it is":    {"rollback web --to 3", cli.ExitOK, "is so already", "three"},
		"no such revision":  {"rollback web --to 9", cli.ExitNotFound, "has no revision 9", "three"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cluster := withHistory(t)
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Fatalf("exit code %d, want %d:\n%s%s\nwant %q", code, c.code, stdout, stderr, c.says)
			}
			if got := string(readPack(t, cluster, "web").Spec.Vars["DOCKER_TAG"].Raw); got != `"`+c.tag+`"` {
				t.Errorf("tag %s, want %s", got, c.tag)
			}
		})
	}
	cluster := withHistory(t)
	stdout, _, _ := run(t, newApp(cluster), "pack", "history", "web", "-o", "json")
	var rows []struct {
		Revision int64
		Current  bool
	}
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil || len(rows) != 3 || rows[0].Revision != 3 || !rows[0].Current || rows[1].Current {
		t.Errorf("history %s, %v", stdout, err)
	}
}

func TestPackUpdate(t *testing.T) {
	cases := map[string]struct {
		constraint *string
		args       string
		code       int
		want       string
	}{
		"within the constraint": {new("~=0.3.1"), "update web", cli.ExitOK, "~=0.3.3"},
		"the newest of all":     {new("~=0.3.1"), "update --all --latest", cli.ExitOK, "~=0.5.0"},
		"an exact one":          {new("0.3.1"), "update web --to 0.4.0", cli.ExitOK, "0.4.0"},
		"none before":           {nil, "update web", cli.ExitOK, "~=0.3.3"},
		"where it is":           {new("~=0.3.1"), "update web --to 0.3.1", cli.ExitOK, "~=0.3.1"},
		"nonsense":              {new("~=0.3.1"), "update web --to so-so", cli.ExitUsage, "~=0.3.1"},
		"both":                  {new("~=0.3.1"), "update web --to 0.4.0 --latest", cli.ExitUsage, "~=0.3.1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			obj := runningPack("web", "a")
			obj.Spec.Chart.Version = c.constraint
			cluster := newClient(t, obedient(), obj)
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, strings.Fields(c.args)...)...)
			if code != c.code {
				t.Fatalf("exit code %d, want %d:\n%s%s", code, c.code, stdout, stderr)
			}
			if got := readPack(t, cluster, "web").Spec.Chart.Version; got == nil || *got != c.want {
				t.Errorf("constraint %v, want %s", got, c.want)
			}
		})
	}
}

func TestPackDelete(t *testing.T) {
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "data-web-0", Labels: map[string]string{"app.kubernetes.io/instance": "web"}}}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("8Gi")}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "web", Labels: map[string]string{"peyk.dev/pack-name": "web", "peyk.dev/pack-namespace": "base"}}}
	cases := map[string]struct {
		args   string
		git    bool
		answer string
		code   int
		says   []string
		gone   bool
	}{
		"asked, yes":                {"delete web", false, "y\n", cli.ExitOK, []string{"Service/web", "PersistentVolumeClaim/data-web-0 (8Gi) stays", "Pack web deleted"}, true},
		"asked, no":                 {"delete web", false, "n\n", cli.ExitFailed, []string{"--yes"}, false},
		"with its volumes":          {"delete web --volumes delete --yes", false, "", cli.ExitOK, []string{"(8Gi) goes, with its data"}, true},
		"wrong policy":              {"delete web --volumes burn --yes", false, "", cli.ExitUsage, []string{"keep or delete"}, false},
		"it lives in Git":           {"delete web --yes", true, "", cli.ExitFailed, []string{"Kustomization flux-system/apps", "--cluster-only"}, false},
		"it lives in Git, and away": {"delete web --yes --cluster-only", true, "", cli.ExitOK, []string{"deleted"}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			obj := runningPack("web", "a")
			if c.git {
				obj.Labels["kustomize.toolkit.fluxcd.io/name"], obj.Labels["kustomize.toolkit.fluxcd.io/namespace"] = "apps", "flux-system"
			}
			var policy packv1.VolumePolicy
			cluster := newClient(t, interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				policy = readPack(t, c, o.GetName()).Spec.Volumes
				return c.Delete(ctx, o, opts...)
			}}, obj, claim.DeepCopy(), service.DeepCopy())
			stdout, stderr, code := answer(t, newApp(cluster), c.answer, append([]string{"pack"}, strings.Fields(c.args)...)...)
			if code != c.code {
				t.Fatalf("exit code %d, want %d:\n%s%s", code, c.code, stdout, stderr)
			}
			for _, want := range c.says {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("nobody said %q:\n%s%s", want, stdout, stderr)
				}
			}
			err := cluster.Get(t.Context(), client.ObjectKeyFromObject(obj), &packv1.Pack{})
			if gone := apierrors.IsNotFound(err); gone != c.gone {
				t.Errorf("gone: %t, want %t", gone, c.gone)
			}
			if strings.Contains(c.args, "--volumes delete") && policy != packv1.VolumesDelete {
				t.Errorf("spec.volumes %q when it was deleted", policy)
			}
		})
	}
}

// answer runs the command line with something on its input.
func answer(t *testing.T, app *cli.App, input string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = was; _ = in.Close() }()
	return run(t, app, args...)
}

// reviewing plays the API that renders.
func reviewing(reply func(*renderv1.PackReview) error) interceptor.Funcs {
	return interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if review, ok := o.(*renderv1.PackReview); ok {
			return reply(review)
		}
		return c.Create(ctx, o, opts...)
	}}
}

func TestPackReviews(t *testing.T) {
	pasted := filepath.Join(t.TempDir(), "pasted.yaml")
	if err := os.WriteFile(pasted, []byte("kind: Pack\nmetadata:\n\u00a0\u00a0name: web\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "two.yaml")
	const two = "kind: ConfigMap\napiVersion: v1\n---\napiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: web, namespace: shop}\nspec: {chart: {name: simplepack}}\n" +
		"---\napiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: api}\nspec: {chart: {name: genpack}}\n"
	if err := os.WriteFile(file, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := func(r *renderv1.PackReview) string {
		if r.Spec.Pack != nil {
			return r.Namespace + "/" + r.Spec.Pack.Name + " of " + r.Spec.Pack.Spec.Chart.Name
		}
		return r.Namespace + "/" + r.Spec.Name
	}
	packs := schema.GroupResource{Group: "k8s.kubit.ir", Resource: "packs"}
	cases := map[string]struct {
		args    []string
		changes []renderv1.PackChange
		err     error
		code    int
		asked   string
		says    string
	}{
		"template":             {[]string{"template", "web"}, nil, nil, cli.ExitOK, "base/web", "kind: Rendered"},
		"template of a file":   {[]string{"template", "web", "-f", file}, nil, nil, cli.ExitOK, "shop/web of simplepack", "kind: Rendered"},
		"no namespace in it":   {[]string{"template", "api", "-f", file}, nil, nil, cli.ExitOK, "base/api of genpack", ""},
		"which of the two":     {[]string{"template", "-f", file}, nil, nil, cli.ExitUsage, "", "holds 2 Packs"},
		"neither":              {[]string{"template"}, nil, nil, cli.ExitUsage, "", "--packfile"},
		"another namespace":    {[]string{"template", "web", "-f", file, "-n", "other"}, nil, nil, cli.ExitUsage, "", "namespace shop"},
		"pasted from a page":   {[]string{"template", "web", "-f", pasted}, nil, nil, cli.ExitFailed, "", "line 3: indented with no-break spaces"},
		"no file":              {[]string{"diff", "-f", file + "x"}, nil, nil, cli.ExitUsage, "", "--packfile"},
		"nothing differs":      {[]string{"diff", "web"}, nil, nil, cli.ExitOK, "base/web", ""},
		"something differs":    {[]string{"diff", "web"}, []renderv1.PackChange{{Object: "Service/base/web", Action: "drifted", Difference: "\nspec.port\n"}}, nil, cli.ExitFailed, "base/web", "Service/base/web drifted\n\nspec.port"},
		"something is skipped": {[]string{"diff", "web"}, []renderv1.PackChange{{Object: "Service/base/web", Action: "skipped"}}, nil, cli.ExitOK, "base/web", "skipped"},
		"differs, as json":     {[]string{"diff", "web", "-o", "json"}, []renderv1.PackChange{{Object: "Service/base/web", Action: "created"}}, nil, cli.ExitFailed, "base/web", `"action": "created"`},
		"no such Pack":         {[]string{"diff", "web"}, nil, apierrors.NewNotFound(packs, "web"), cli.ExitNotFound, "base/web", `there is no Pack "web"`},
		"invalid":              {[]string{"diff", "web"}, nil, apierrors.NewBadRequest("spec.chart.version: nonsense"), cli.ExitTrouble, "base/web", "spec.chart.version: nonsense"},
		"not installed":        {[]string{"template", "web"}, nil, &apierrors.StatusError{ErrStatus: metav1.Status{Code: 404, Reason: metav1.StatusReasonNotFound, Message: "the server could not find the requested resource"}}, cli.ExitFailed, "base/web", "peyk install"},
		"not running":          {[]string{"template", "web"}, nil, apierrors.NewServiceUnavailable("no endpoints"), cli.ExitFailed, "base/web", "peyk install"},
		"not allowed":          {[]string{"template", "web"}, nil, apierrors.NewForbidden(schema.GroupResource{Group: "render.peyk.dev", Resource: "packreviews"}, "", nil), cli.ExitFailed, "base/web", "may not"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			cluster := newClient(t, reviewing(func(r *renderv1.PackReview) error {
				got = asked(r)
				r.Status.Manifests, r.Status.Changes = "---\nkind: Rendered\n", c.changes
				return c.err
			}))
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, c.args...)...)
			if code != c.code || got != c.asked || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit code %d, want %d; asked about %q, want %q:\n%s%s\nwant %q", code, c.code, got, c.asked, stdout, stderr, c.says)
			}
		})
	}
	out := filepath.Join(t.TempDir(), "out.yaml")
	cluster := newClient(t, reviewing(func(r *renderv1.PackReview) error { r.Status.Manifests = "---\nkind: Rendered\n"; return nil }))
	stdout, stderr, code := run(t, newApp(cluster), "pack", "template", "web", "-o", out)
	written, err := os.ReadFile(out)
	if code != cli.ExitOK || err != nil || !bytes.Contains(written, []byte("Rendered")) || stdout != "" {
		t.Errorf("exit code %d, %v, wrote %q, printed %q %s", code, err, written, stdout, stderr)
	}
}

func TestPackClearCache(t *testing.T) {
	shared := &packv1.ClusterPackRepository{ObjectMeta: metav1.ObjectMeta{Name: "kubit-paas"}, Spec: packv1.PackRepositorySpec{URL: "builtin://kubit-paas"}}
	own := &packv1.PackRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "own"}, Spec: packv1.PackRepositorySpec{URL: "https://example.org"}}
	cluster := newClient(t, interceptor.Funcs{}, shared, own)
	stdout, stderr, code := run(t, newApp(cluster), "pack", "clear-cache")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for _, object := range []client.Object{shared, own} {
		if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil || object.GetAnnotations()[meta.ReconcileRequestAnnotation] == "" {
			t.Errorf("%s was not asked: %v", object.GetName(), err)
		}
	}
	if _, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{})), "pack", "clear-cache"); code != cli.ExitNotFound {
		t.Errorf("without repositories: exit code %d: %s", code, stderr)
	}
}

// The names that kubit-cli has for them do the same, with its options.
func TestKubitNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.pack.yaml")
	must(t, os.WriteFile(file, []byte("apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: web}\nspec: {chart: {name: simplepack}}\n"), 0o600))
	changed := []renderv1.PackChange{{Object: "Service/shop/web", Action: "drifted", Difference: "\nspec.port\n"}}
	for name, c := range map[string]struct {
		line    string
		changes []renderv1.PackChange
		code    int
		wrote   string
	}{
		"helm-template":            {"helm-template web -n shop -x c", nil, cli.ExitOK, "kind: Rendered"},
		"helm-template of a file":  {"helm-template -f FILE -n shop -o OUT", nil, cli.ExitOK, "kind: Rendered"},
		"helm-diff":                {"helm-diff web -n shop", changed, cli.ExitFailed, "Service/shop/web drifted\n\nspec.port"},
		"helm-diff to a file":      {"helm-diff --packfile FILE -n shop -o OUT", changed, cli.ExitFailed, "Service/shop/web drifted\n\nspec.port"},
		"no difference":            {"helm-diff web -n shop --outfile OUT", nil, cli.ExitOK, ""},
		"pack diff to a file":      {"pack diff web -n shop -o json --outfile OUT", changed, cli.ExitFailed, `"action": "drifted"`},
		"diff, no such folder":     {"helm-diff web -n shop -o OUT/in/it", changed, cli.ExitTrouble, ""},
		"template, no such folder": {"helm-template web -n shop -o OUT/in/it", nil, cli.ExitFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			cluster := newClient(t, reviewing(func(r *renderv1.PackReview) error {
				if r.Namespace != "shop" || r.Spec.Name != "web" && r.Spec.Pack.Name != "web" {
					t.Errorf("asked about %s/%+v", r.Namespace, r.Spec)
				}
				r.Status.Manifests, r.Status.Changes = "---\nkind: Rendered\n", c.changes
				return nil
			}))
			line := strings.NewReplacer("FILE", file, "OUT", out).Replace(c.line)
			stdout, stderr, code := run(t, newApp(cluster), strings.Fields(line)...)
			if code != c.code {
				t.Fatalf("exit code %d, want %d: %s%s", code, c.code, stdout, stderr)
			}
			wrote := stdout
			if strings.HasSuffix(c.line, "OUT") {
				data, err := os.ReadFile(out)
				must(t, err)
				if wrote = string(data); stdout != "" {
					t.Errorf("printed too: %s", stdout)
				}
			}
			if !strings.Contains(wrote, c.wrote) || c.wrote == "" && wrote != "" {
				t.Errorf("wrote %q, want %q", wrote, c.wrote)
			}
		})
	}
	shared := &packv1.ClusterPackRepository{ObjectMeta: metav1.ObjectMeta{Name: "kubit-paas"}}
	cluster := newClient(t, interceptor.Funcs{}, shared)
	stdout, stderr, code := run(t, newApp(cluster), "clear-cache", "-x", "c")
	if code != cli.ExitOK {
		t.Fatalf("clear-cache: exit code %d: %s%s", code, stdout, stderr)
	}
	must(t, cluster.Get(t.Context(), client.ObjectKeyFromObject(shared), shared))
	if shared.Annotations[meta.ReconcileRequestAnnotation] == "" {
		t.Error("clear-cache asked for nothing")
	}
	for _, name := range []string{"helm-template", "helm-diff", "clear-cache"} {
		help, _, _ := run(t, newApp(nil), name, "--help")
		if !strings.Contains(help, "\n  peyk "+name) || strings.Contains(help, "peyk pack "+strings.TrimPrefix(name, "helm-")) {
			t.Errorf("the example of %s is of another command:\n%s", name, help)
		}
		if all, _, _ := run(t, newApp(nil), "--help"); strings.Contains(all, name) {
			t.Errorf("%s is shown among the commands", name)
		}
	}
}

func TestPackVersions(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "apiVersion: v1\nentries:\n  simplepack:\n")
		for _, version := range []string{"0.3.1", "0.3.10", "0.3.2", "0.4.0"} {
			_, _ = fmt.Fprintf(w, "  - {apiVersion: v2, name: simplepack, version: %s, urls: [a.tgz]}\n", version)
		}
	}))
	t.Cleanup(server.Close)
	own := &packv1.PackRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "own"}, Spec: packv1.PackRepositorySpec{URL: server.URL}}
	away := &packv1.PackRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "away"}, Spec: packv1.PackRepositorySpec{URL: "http://127.0.0.1:1"}}
	of := func(name, repository string) *packv1.Pack {
		obj := runningPack(name, "a")
		obj.Spec.Chart.Repository = &packv1.PackRepositoryRef{Kind: packv1.PackRepositoryKind, Name: repository}
		return obj
	}
	cluster := newClient(t, interceptor.Funcs{}, own, away, of("web", "own"), of("lost", "away"))
	for name, c := range map[string]struct {
		line string
		code int
		says string
	}{
		"of nobody":    {"versions nope", cli.ExitNotFound, `there is no Pack "nope"`},
		"of several":   {"versions web lost", cli.ExitUsage, "accepts 1 arg"},
		"as what":      {"versions web -o xml", cli.ExitUsage, "table, json, yaml"},
		"not answered": {"versions lost", cli.ExitFailed, "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, strings.Fields(c.line)...)...)
			if code != c.code || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, want %d: %s%s\nwant %q", code, c.code, stdout, stderr, c.says)
			}
		})
	}
	stdout, stderr, code := run(t, newApp(cluster), "pack", "versions", "web")
	if code != cli.ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	golden(t, "pack-versions", stdout)
	stdout, _, _ = run(t, newApp(cluster), "pack", "versions", "web", "-o", "json")
	var versions []struct {
		Version            string
		Installed, Allowed bool
	}
	must(t, json.Unmarshal([]byte(stdout), &versions))
	if got := fmt.Sprint(versions); got != "[{0.4.0 false false} {0.3.10 false true} {0.3.2 false true} {0.3.1 true true}]" {
		t.Errorf("the versions are %s", got)
	}
}

// An update is what is newer than the installed version and within the constraint, and nothing else.
func TestPackListShowsUpdates(t *testing.T) {
	for name, c := range map[string]struct{ installed, newest, want string }{
		"newer":         {"0.3.9", "0.3.10", "0.3.10"},
		"the same":      {"0.3.1", "0.3.1", ""},
		"older":         {"0.3.10", "0.3.9", ""},
		"not installed": {"", "0.3.1", ""},
		"not known":     {"0.3.1", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			obj := runningPack("web", "a")
			obj.Status.ResolvedVersion, obj.Status.NewestVersion = c.installed, c.newest
			stdout, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{}, obj)), "pack", "list", "-l", "team=a")
			lines := strings.Split(stdout, "\n")
			if code != cli.ExitOK || len(lines) < 2 {
				t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
			}
			cells := strings.Split(lines[1], "\t")
			got := make([]string, 0, len(cells))
			for _, cell := range cells {
				got = append(got, strings.TrimSpace(cell))
			}
			if want := []string{"web", "simplepack", c.installed, "~=0.3.1", c.want, "Applied", "True"}; !slices.Equal(got[:7], want) {
				t.Errorf("the row is %q, want %q", got, want)
			}
		})
	}
}
