package gitrepository

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/reconcile"
)

// bench is a Git server, a cluster, and a controller between them.
type bench struct {
	*testing.T
	root    string
	repo    *gittest.Repo
	server  *gittest.HTTPServer
	client  client.Client
	dataDir string
	store   *artifact.Store
	runner  *reconcile.Runner[*sourcev1.GitRepository]
	events  []string
	writes  int
}

func (b *bench) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	b.events = append(b.events, name+" "+eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, auth *gittest.Auth, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{T: t, root: t.TempDir(), dataDir: t.TempDir()}
	b.repo = gittest.NewRepo(t, b.root, "app")
	b.server = gittest.NewHTTPServer(t, b.root, auth)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&sourcev1.GitRepository{}).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	b.restart()
	return b
}

// restart makes the controller anew on the same data.
func (b *bench) restart() {
	b.Helper()
	store, err := artifact.New(filepath.Join(b.dataDir, "artifacts"), "http://peyk.test", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	mirrors, err := git.NewMirrors(filepath.Join(b.dataDir, "git"), git.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	b.store = store
	c := &Controller{artifacts: store, mirrors: mirrors, reader: b.client}
	b.runner = reconcile.NewRunner(c.kind(), reconcile.Options{Client: b.client, Events: b})
}

// create makes a GitRepository for the bench's repository.
func (b *bench) create(name string, change func(*sourcev1.GitRepository)) {
	b.Helper()
	obj := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Generation: 1},
		Spec: sourcev1.GitRepositorySpec{
			URL: b.server.URL + "/app.git", Interval: metav1.Duration{Duration: time.Minute},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}
	if change != nil {
		change(obj)
	}
	if err := b.client.Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) update(name string, change func(*sourcev1.GitRepository)) {
	b.Helper()
	obj := b.get(name)
	change(obj)
	obj.Generation++
	if err := b.client.Update(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) get(name string) *sourcev1.GitRepository {
	b.Helper()
	obj := &sourcev1.GitRepository{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: name}, obj); err != nil {
		b.Fatal(err)
	}
	return obj
}

func (b *bench) pass(name string) (*sourcev1.GitRepository, ctrl.Result) {
	b.Helper()
	result, err := b.runner.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: name}})
	if err != nil {
		b.Fatal(err)
	}
	return b.get(name), result
}

func (b *bench) mustBeReady(name string) *sourcev1.GitRepository {
	b.Helper()
	obj, _ := b.pass(name)
	if c := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready"); c == nil || c.Status != "True" {
		b.Fatalf("not ready: %+v", obj.Status.Conditions)
	}
	return obj
}

// states reduces conditions to type, status and reason.
func states(obj *sourcev1.GitRepository) map[string]string {
	states := map[string]string{}
	for _, c := range obj.Status.Conditions {
		states[c.Type] = string(c.Status) + " " + c.Reason
	}
	return states
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}

func updateEvent(was, is client.Object) event.UpdateEvent {
	return event.UpdateEvent{ObjectOld: was, ObjectNew: is}
}
