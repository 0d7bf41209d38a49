package kustomization

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/render/kustomize"
	"github.com/peyk/peyk/internal/source"
)

// many is how many Kustomizations follow one source in the test of their order.
const many = 20

func appOf(i int) string { return fmt.Sprintf("app%02d", i) }

// follower makes a Kustomization of its own directory.
func follower(i int) *ksv1.Kustomization {
	k := &ksv1.Kustomization{}
	k.Namespace, k.Name = "n", appOf(i)
	k.Spec.SourceRef = ksv1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: "source"}
	k.Spec.Path = appOf(i)
	return k
}

// store stores a revision in which each application has its value.
func store(t *testing.T, artifacts *artifact.Store, ref artifact.Ref, values map[int]string) *artifact.Artifact {
	t.Helper()
	entry := artifact.Entry{Ref: ref, Revision: fmt.Sprint(values)}
	stored, err := artifacts.PutTree(t.Context(), entry, func(dir string) error {
		for i := range many {
			if err := os.Mkdir(filepath.Join(dir, appOf(i)), 0o750); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, appOf(i), "c.yaml"), []byte(configMapOf(appOf(i), values[i])), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, err)
	return stored
}

// Of all that follow a repository, those for which a commit changed something come first, and with them those that others
// depend on; the rest only note the revision.
func TestWhatChangedComesFirst(t *testing.T) {
	const changed, dependent, dependency = 13, 17, 4
	objects := fake.NewClientBuilder().WithScheme(testScheme(t)).
		WithIndex(&ksv1.Kustomization{}, bySource, func(o client.Object) []string { return []string{sourceOf(o.(*ksv1.Kustomization)).String()} }).
		WithIndex(&ksv1.Kustomization{}, byDependency, func(o client.Object) []string {
			var all []string
			for _, key := range dependenciesOf(o.(*ksv1.Kustomization)) {
				all = append(all, key.String())
			}
			return all
		})
	artifacts, err := artifact.New(t.TempDir(), "http://artifacts.invalid", slog.New(slog.DiscardHandler))
	must(t, err)
	ref := artifact.Ref{Kind: sourcev1.GitRepositoryKind, Namespace: "n", Name: "source"}
	before := store(t, artifacts, ref, nil)
	c := &Controller{sources: &source.Finder{Artifacts: artifacts}, memos: map[types.NamespacedName]memo{}}
	for i := range many {
		k := follower(i)
		if i == dependent {
			k.Spec.DependsOn = append(k.Spec.DependsOn, ksv1.DependencyReference{Name: appOf(dependency)})
		}
		result, err := kustomize.Build(kustomize.Request{Root: before.Dir, Path: k.Spec.Path})
		must(t, err)
		c.remember(k, func(m *memo) { m.built = built{digest: before.Digest, dir: before.Dir, reads: result.Reads} })
		objects = objects.WithObjects(k)
	}
	c.reader = objects.Build()
	after := store(t, artifacts, ref, map[int]string{changed: "new"})
	q := priorityqueue.New[ctrl.Request]("test")
	defer q.ShutDown()
	c.wakeFollowers(t.Context(), q, ref)

	got := map[string]int{}
	for range many {
		next, priority, _ := q.GetWithPriority()
		if len(got) < 2 && priority != 0 {
			t.Errorf("%s is number %d, and has priority %d", next.Name, len(got), priority)
		}
		got[next.Name] = priority
	}
	want := map[string]int{}
	for i := range many {
		want[appOf(i)] = handler.LowPriority
	}
	want[appOf(changed)], want[appOf(dependency)] = 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("priorities (-want +got):\n%s", diff)
	}
	for i := range many {
		want := after.Digest
		if i == changed {
			want = before.Digest
		}
		if got := c.remembered(follower(i)).built.digest; got != want {
			t.Errorf("the build of %s is known to be of %s, want %s", appOf(i), got, want)
		}
	}
}
