package cli_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
)

func TestPackGit(t *testing.T) {
	sync := &peykv1.PackSync{ObjectMeta: named("base", "shop"), Spec: peykv1.PackSyncSpec{URL: "https://git.example.org/shop.git"}}
	sync.Status = peykv1.PackSyncStatus{
		Conditions: condition("True", "1/2 Packs in sync with branch main"), Revision: "main@sha1:abc",
		Webhook: &peykv1.WebhookAddress{Path: "/api/core/git-webhook/0123/"},
		Packs: []peykv1.SyncedPack{
			{Name: "db", Namespace: "base", State: peykv1.PackUnmapped, Message: "the Pack has no file"},
			{Name: "web", Namespace: "base", Path: "web.pack.yaml", State: peykv1.PackSynced},
		},
		Commits: []peykv1.SyncCommit{
			{Commit: strings.Repeat("ab", 20), Title: "Update pack base/web", Author: "Ada", Files: new(1)}, {Commit: strings.Repeat("cd", 20), Title: "first", Author: "Grace"},
		},
	}
	web := &packv1.Pack{ObjectMeta: named("base", "web"), Spec: packv1.PackSpec{Chart: packv1.PackChart{Name: "genpack"}, Vars: map[string]apiextensionsv1.JSON{}}}
	c := newClient(t, interceptor.Funcs{}, sync, web)
	for _, tt := range []struct {
		line string
		code int
		want []string
	}{
		{"pack git status", cli.ExitOK, []string{"1/2 Packs in sync", "db", "Unmapped", "the Pack has no file", "web.pack.yaml"}},
		{"pack git status -o json", cli.ExitOK, []string{`"state": "Synced"`}},
		{"pack git log -c 1", cli.ExitOK, []string{"Update pack base/web", "Ada", "abababababab"}},
		{"pack git webhook --url https://peyk.example.org/", cli.ExitOK, []string{"https://peyk.example.org/api/core/git-webhook/0123/"}},
		{"pack git webhook --extend", cli.ExitOK, []string{"extended"}},
		{"pack git connect db --path packs/db.pack.yaml --no-wait", cli.ExitOK, []string{"connected"}},
		{"pack git disconnect web --no-wait", cli.ExitOK, []string{"disconnected"}},
		{"pack git connect db --path packs/db2.pack.yaml --repository shop --no-wait", cli.ExitOK, []string{"connected"}},
		{"pack git resolve web --take merge --prefer git -m Mine", cli.ExitOK, []string{"MergePreferGit"}},
		{"pack git resolve web --take git --prefer git", cli.ExitUsage, []string{"--prefer is for"}},
		{"pack git resolve web --take it", cli.ExitUsage, []string{"git, cluster or merge"}},
		{"pack git resolve none --take git", cli.ExitNotFound, []string{"none"}},
		{"pack git status --repository other", cli.ExitNotFound, []string{"other"}},
		{"pack git status -n empty", cli.ExitNotFound, []string{"peyk pack git add"}},
		{"pack git add second --url https://git.example.org/b.git --secret git --branch dev --create --cluster-changes Detach --no-wait", cli.ExitOK, []string{"created"}},
		{"pack git status", cli.ExitUsage, []string{"--repository", "second"}},
		{"pack git remove third --yes", cli.ExitNotFound, []string{"third"}},
	} {
		stdout, stderr, code := run(t, newApp(c), strings.Fields(tt.line)...)
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", tt.line, code, tt.code, stdout, stderr)
		}
		for _, want := range tt.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: no %q in\n%s%s", tt.line, want, stdout, stderr)
			}
		}
	}
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(sync), sync))
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(web), web))
	if m := sync.Spec.Mappings; len(m) != 2 || m[0] != (peykv1.PackMapping{Pack: "web", Disconnected: true}) || m[1].Path != "packs/db2.pack.yaml" {
		t.Errorf("the mappings are %+v", m)
	}
	if web.Annotations[peykv1.ResolveAnnotation] != peykv1.ResolveMergePreferGit || web.Annotations[peykv1.MessageAnnotation] != "Mine" || sync.Annotations[peykv1.ExtendWebhookAnnotation] == "" {
		t.Errorf("the annotations are %v and %v", web.Annotations, sync.Annotations)
	}
	second := &peykv1.PackSync{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "second"}}
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(second), second))
	if s := second.Spec; s.Ref.Branch != "dev" || s.SecretRef.Name != "git" || !s.Create || s.ClusterChanges != peykv1.DetachPack {
		t.Errorf("the new PackSync is %+v", s)
	}
}

// The connection goes, what it connected stays.
func TestPackGitRemove(t *testing.T) {
	for name, c := range map[string]struct {
		line, answer string
		code         int
		says         string
		gone         bool
	}{
		"asked, yes":    {"pack git remove shop", "y\n", cli.ExitOK, "Disconnect https://git.example.org/shop.git from 1 Packs and files, which stay?", true},
		"asked, no":     {"pack git remove shop", "\n", cli.ExitFailed, "--yes", false},
		"not asked":     {"pack git remove shop --yes", "", cli.ExitOK, "its Packs and files stay", true},
		"which":         {"pack git remove", "", cli.ExitUsage, "accepts 1 arg", false},
		"elsewhere":     {"pack git remove shop --yes -n other", "", cli.ExitNotFound, `there is no PackSync "shop"`, false},
		"under its own": {"delete pks shop --silent", "", cli.ExitOK, "packsync deleted", true},
	} {
		t.Run(name, func(t *testing.T) {
			sync := &peykv1.PackSync{ObjectMeta: named("base", "shop"), Spec: peykv1.PackSyncSpec{URL: "https://git.example.org/shop.git"}}
			sync.Status.Packs = []peykv1.SyncedPack{{Name: "web", Namespace: "base", Path: "web.pack.yaml", State: peykv1.PackSynced}}
			second := &peykv1.PackSync{ObjectMeta: named("base", "second")}
			cluster := newClient(t, interceptor.Funcs{}, sync, second, runningPack("web", "a"))
			stdout, stderr, code := answer(t, newApp(cluster), c.answer, strings.Fields(c.line)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit code %d, want %d:\n%s%s\nwant %q", code, c.code, stdout, stderr, c.says)
			}
			var left peykv1.PackSyncList
			must(t, cluster.List(t.Context(), &left))
			if want := map[bool]int{true: 1, false: 2}[c.gone]; len(left.Items) != want || left.Items[0].Name != "second" {
				t.Errorf("%d PackSyncs are left, want %d", len(left.Items), want)
			}
			readPack(t, cluster, "web")
		})
	}
	_, stderr, code := run(t, newApp(newClient(t, interceptor.Funcs{}, &peykv1.PackSync{ObjectMeta: named("base", "only")})), "pack", "git", "remove", "", "--yes")
	if code != cli.ExitUsage {
		t.Errorf("without a name the only one is removed: %s", stderr)
	}
}

// A PackSync and a SecretReflector are asked for a pass as every other kind is.
func TestReconcileWhatGoesWithPacks(t *testing.T) {
	handled := interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
		if err := c.Patch(ctx, obj, patch, opts...); err != nil {
			return err
		}
		token := obj.GetAnnotations()[meta.ReconcileRequestAnnotation]
		switch obj.GetObjectKind().GroupVersionKind().Kind {
		case peykv1.PackSyncKind:
			live := &peykv1.PackSync{}
			must(t, c.Get(ctx, client.ObjectKeyFromObject(obj), live))
			live.Status.LastHandledReconcileAt = token
			return c.Update(ctx, live)
		case packv1.SecretReflectorKind:
			live := &packv1.SecretReflector{}
			must(t, c.Get(ctx, client.ObjectKeyFromObject(obj), live))
			live.Spec.Suspend, live.Status.LastHandledReconcileAt = false, token
			return c.Update(ctx, live)
		}
		return nil
	}}
	for line, want := range map[string]string{
		"reconcile packsync deploy -n shop": "looked at main@sha1:01234567: 1/2 Packs in sync",
		"reconcile sref registry -n shop":   "suspended: resume it first with 'peyk resume secretreflector registry'",
		"resume sref registry -n shop":      "secretreflector resumed",
	} {
		stdout, stderr, _ := run(t, newApp(newClient(t, handled, inventory()...)), strings.Fields(line)...)
		if !strings.Contains(stdout+stderr, want) {
			t.Errorf("%s: no %q in\n%s%s", line, want, stdout, stderr)
		}
	}
}
