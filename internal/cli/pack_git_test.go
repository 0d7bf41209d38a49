package cli_test

import (
	"strings"
	"testing"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
	"github.com/peyk/peyk/internal/git/gittest"
)

const packFile = `# The shop's front, see the wiki.
apiVersion: k8s.kubit.ir/v1alpha1
kind: Pack
metadata:
  name: web
  namespace: base
spec:
  chart: # from the catalogue
    name: simplepack
    version: ~=0.3.1
  vars:
    DOCKER_TAG: three # set by the pipeline
`

// What lives in Git is changed there, by a commit that changes nothing else, and the cluster is left to those who follow it.
func TestPackChangesInGit(t *testing.T) {
	cases := map[string]struct{ args, was, is, message string }{
		"rollback": {"rollback web --to 1 --no-wait", "DOCKER_TAG: three # set", "DOCKER_TAG: one # set", "Roll back pack base/web to revision 1"},
		"update":   {"update web --latest --no-wait -m Newer", "version: ~=0.3.1", "version: ~=0.5.0", "Newer"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			repo := gittest.NewRepo(t, root, "deploy")
			repo.Git("config", "http.receivepack", "true")
			repo.Commit("main", "first", map[string]string{"apps/web.pack.yaml": packFile})
			server := gittest.NewHTTPServer(t, root, nil)
			cluster := withHistory(t)
			live := readPack(t, cluster, "web")
			live.Labels["kustomize.toolkit.fluxcd.io/name"], live.Labels["kustomize.toolkit.fluxcd.io/namespace"] = "apps", "base"
			k := &ksv1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "apps"}}
			k.Spec.Path, k.Spec.SourceRef.Kind, k.Spec.SourceRef.Name = "./apps", sourcev1.GitRepositoryKind, "deploy"
			source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "deploy"}}
			source.Spec.URL, source.Spec.Reference = server.URL+"/deploy.git", &sourcev1.GitRepositoryRef{Branch: "main"}
			for _, object := range []client.Object{k, source} {
				if err := cluster.Create(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
			if err := cluster.Update(t.Context(), live); err != nil {
				t.Fatal(err)
			}
			before := readPack(t, cluster, "web")
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, strings.Fields(c.args)...)...)
			if code != cli.ExitOK || !strings.Contains(stdout, "committed") {
				t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
			}
			want := strings.Replace(packFile, c.was, c.is, 1)
			if got := repo.Git("show", "main:apps/web.pack.yaml"); strings.TrimSpace(got) != strings.TrimSpace(want) {
				t.Errorf("the file is\n%s\nwant\n%s", got, want)
			}
			if got := repo.Git("log", "-1", "--format=%s", "main"); strings.TrimSpace(got) != c.message {
				t.Errorf("message %q, want %q", got, c.message)
			}
			if got := repo.Git("log", "-1", "--format=%(trailers:key=Delivery-Request,valueonly)", "main"); len(got) < 10 {
				t.Errorf("Delivery-Request is %q", got)
			}
			if after := readPack(t, cluster, "web"); after.ResourceVersion != before.ResourceVersion {
				t.Error("the Pack in the cluster was changed too")
			}
			if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(source), source); err != nil || source.Annotations[meta.ReconcileRequestAnnotation] == "" {
				t.Errorf("nobody asked for the commit to be fetched: %v", err)
			}
		})
	}
}

// A PackSync that commits what changes in the cluster makes the commit: no credentials and no way to the Git server are needed.
func TestPackChangesWithPackSync(t *testing.T) {
	sync := &peykv1.PackSync{ObjectMeta: named("base", "deploy")}
	sync.Status.Packs = []peykv1.SyncedPack{{Name: "web", Namespace: "base", Path: "web.pack.yaml", State: peykv1.PackSynced}}
	conflict := sync.DeepCopy()
	conflict.Status.Packs[0].State, conflict.Status.Packs[0].Message = peykv1.PackConflict, "both sides changed"
	for name, c := range map[string]struct {
		sync *peykv1.PackSync
		args string
		code int
		says string
	}{
		"synced":                {sync, "rollback web --to 1 --no-wait", cli.ExitOK, "PackSync base/deploy commits it to web.pack.yaml"},
		"a conflict":            {conflict, "rollback web --to 1 --no-wait", cli.ExitFailed, "both sides changed"},
		"not committed in time": {sync, "rollback web --to 1 --timeout 50ms", cli.ExitFailed, "PackSync base/deploy"},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := withHistory(t)
			if err := cluster.Create(t.Context(), c.sync.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			before := readPack(t, cluster, "web")
			stdout, stderr, code := run(t, newApp(cluster), append([]string{"pack"}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
			}
			after := readPack(t, cluster, "web")
			if changed := after.ResourceVersion != before.ResourceVersion; changed != (c.sync == sync) {
				t.Fatalf("the Pack was changed: %v", changed)
			}
			if c.sync == sync && (after.Annotations[peykv1.MessageAnnotation] != "Roll back pack base/web to revision 1" || !strings.Contains(after.Annotations[peykv1.AuthorAnnotation], "@")) {
				t.Errorf("the annotations are %v", after.Annotations)
			}
		})
	}
}
