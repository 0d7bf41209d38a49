package gitrepository

import (
	"path/filepath"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/testkit/bench"
)

// rig is a Git server, a cluster, and a controller between them.
type rig struct {
	*bench.Bench[*sourcev1.GitRepository]
	root   string
	repo   *gittest.Repo
	server *gittest.HTTPServer
}

func newRig(t *testing.T, auth *gittest.Auth, objects ...client.Object) *rig {
	t.Helper()
	b := &rig{root: t.TempDir()}
	b.Bench = bench.New(t, func() *sourcev1.GitRepository { return &sourcev1.GitRepository{} }, objects...)
	b.repo = gittest.NewRepo(t, b.root, "app")
	b.server = gittest.NewHTTPServer(t, b.root, auth)
	b.restart()
	return b
}

// restart makes the controller anew on the same data.
func (b *rig) restart() {
	b.Helper()
	b.Reopen()
	mirrors, err := git.NewMirrors(filepath.Join(b.Data, "git"), git.DefaultLimits())
	b.Must(err)
	c := &Controller{artifacts: b.Store, mirrors: mirrors, reader: b.Client}
	b.Controller = follow.NewRunner(b.Client, c.kind(), follow.Deps{Artifacts: b.Store, Events: b})
}

// create makes a GitRepository for the bench's repository.
func (b *rig) create(name string, change func(*sourcev1.GitRepository)) {
	b.Helper()
	obj := &sourcev1.GitRepository{
		Spec: sourcev1.GitRepositorySpec{
			URL: b.server.URL + "/app.git", Interval: metav1.Duration{Duration: time.Minute},
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}
	if change != nil {
		change(obj)
	}
	b.Create(name, obj)
}

func updateEvent(was, is client.Object) event.UpdateEvent {
	return event.UpdateEvent{ObjectOld: was, ObjectNew: is}
}
