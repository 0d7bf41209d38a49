package packsync_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/controller/packsync"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
	"github.com/peyk/peyk/internal/testkit"
	"github.com/peyk/peyk/internal/writeback"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

// rig is a Git server, a namespace of the test's own, and the controller between them.
type rig struct {
	*testing.T
	ns     string
	client client.Client
	repo   *gittest.Repo
	server *gittest.HTTPServer
	stop   func()
	files  map[string]string
}

// Eventf implements the recorder of events.
func (r *rig) Eventf(_, _ runtime.Object, _, _, _, _ string, _ ...any) {}

var definitions sync.Once

func newRig(t *testing.T, auth *gittest.Auth) *rig {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, packv1.AddToScheme, peykv1.AddToScheme} {
		must(t, add(scheme))
	}
	r := &rig{T: t, files: map[string]string{}}
	var err error
	r.client, err = client.New(plane.Config, client.Options{Scheme: scheme})
	must(t, err)
	definitions.Do(func() { must(t, testkit.Define(t.Context(), r.client)) })
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sync-"}}
	must(t, r.client.Create(t.Context(), space))
	r.ns = space.Name
	root := t.TempDir()
	r.repo = gittest.NewRepo(t, root, "app")
	r.repo.Git("config", "http.receivepack", "true")
	r.server = gittest.NewHTTPServer(t, root, auth)
	r.start(tenancy.Policy{NoCrossNamespaceRefs: true})
	return r
}

func (r *rig) start(policy tenancy.Policy) {
	r.Helper()
	mgr, err := ctrl.NewManager(plane.Config, ctrl.Options{
		Scheme: r.client.Scheme(), Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	must(r.T, err)
	mirrors, err := git.NewMirrors(r.TempDir(), git.DefaultLimits())
	must(r.T, err)
	clients, err := kube.NewPool(plane.Config)
	must(r.T, err)
	must(r.T, packsync.Setup(mgr, packsync.Deps{
		Mirrors: mirrors, Writer: writeback.New(mirrors, writeback.Options{Scanner: writeback.NoSecrets{}}), Clients: clients, Policy: policy,
		Events: r, Concurrent: 2,
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	r.stop = sync.OnceFunc(func() { cancel(); must(r.T, <-done) })
	r.Cleanup(r.stop)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// soon polls until check returns nil.
func (r *rig) soon(what string, check func() error) {
	r.Helper()
	var err error
	for deadline := time.Now().Add(120 * time.Second); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	r.Fatalf("%s: %v", what, err)
}

// push makes files so; an empty content removes one.
func (r *rig) push(files map[string]string) {
	r.Helper()
	head, _, _ := strings.Cut(r.repo.Git("for-each-ref", "--format=%(objectname)", "refs/heads/main"), "\n")
	if head != "" {
		r.files = map[string]string{}
		for _, name := range strings.Fields(r.repo.Git("ls-tree", "-r", "--name-only", "main")) {
			r.files[name] = r.repo.Git("show", "main:"+name) + "\n"
		}
	}
	for name, content := range files {
		if r.files[name] = content; content == "" {
			delete(r.files, name)
		}
	}
	r.repo.Commit("main", "by hand", r.files)
	r.look()
}

// look asks every PackSync of the namespace for a look at the repository.
func (r *rig) look() {
	r.Helper()
	var all peykv1.PackSyncList
	must(r.T, r.client.List(r.Context(), &all, client.InNamespace(r.ns)))
	for i := range all.Items {
		before := all.Items[i].DeepCopy()
		metav1.SetMetaDataAnnotation(&all.Items[i].ObjectMeta, reconcile.RequestAnnotation, time.Now().String())
		must(r.T, r.client.Patch(r.Context(), &all.Items[i], client.MergeFrom(before)))
	}
}

// connect makes the PackSync.
func (r *rig) connect(change func(*peykv1.PackSyncSpec)) {
	r.Helper()
	obj := &peykv1.PackSync{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: "repo"}, Spec: peykv1.PackSyncSpec{
		URL: r.server.URL + "/app.git", Create: true, Interval: &metav1.Duration{Duration: time.Second},
	}}
	if change != nil {
		change(&obj.Spec)
	}
	must(r.T, r.client.Create(r.Context(), obj))
}

func (r *rig) sync() *peykv1.PackSync {
	r.Helper()
	obj := &peykv1.PackSync{}
	must(r.T, r.client.Get(r.Context(), client.ObjectKey{Namespace: r.ns, Name: "repo"}, obj))
	return obj
}

// packFile is a Pack as people write it.
func (r *rig) packFile(name, tag string) string {
	return fmt.Sprintf("# %s of the shop\napiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  chart:\n    name: genpack # the chart\n  vars:\n    TAG: %s # the tag\n    MODE: 'fast'\n", name, name, r.ns, tag)
}

func (r *rig) pack(name string) (*packv1.Pack, error) {
	obj := &packv1.Pack{}
	return obj, r.client.Get(r.Context(), client.ObjectKey{Namespace: r.ns, Name: name}, obj)
}

// edit changes a Pack as kubectl does.
func (r *rig) edit(name string, change func(*packv1.Pack)) {
	r.Helper()
	obj, err := r.pack(name)
	must(r.T, err)
	before := obj.DeepCopy()
	change(obj)
	must(r.T, r.client.Patch(r.Context(), obj, client.MergeFrom(before), client.FieldOwner("kubectl-edit")))
}

func setVar(name, value string) func(*packv1.Pack) {
	return func(p *packv1.Pack) { p.Spec.Vars[name] = jsonOf(value) }
}

func annotate(pairs ...string) func(*packv1.Pack) {
	return func(p *packv1.Pack) {
		for i := 0; i < len(pairs); i += 2 {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, pairs[i], pairs[i+1])
		}
	}
}

// has waits until a Pack has a var.
func (r *rig) has(name, variable, value string) {
	r.Helper()
	r.soon(name+" has "+variable+"="+value, func() error {
		pack, err := r.pack(name)
		if err == nil && string(pack.Spec.Vars[variable].Raw) != value {
			err = fmt.Errorf("it has %s; status %+v", pack.Spec.Vars[variable].Raw, r.sync().Status.Packs)
		}
		return err
	})
}

// state waits until a Pack is in a state, with words in its message.
func (r *rig) state(name string, want peykv1.PackState, words ...string) peykv1.SyncedPack {
	r.Helper()
	var found peykv1.SyncedPack
	r.soon(name+" is "+string(want), func() error {
		all := r.sync().Status
		for _, p := range all.Packs {
			if p.Name != name || p.State != want {
				continue
			}
			found = p
			for _, word := range words {
				if !strings.Contains(p.Message, word) {
					return fmt.Errorf("the message is %q, without %q", p.Message, word)
				}
			}
			return nil
		}
		return fmt.Errorf("the status is %+v", all)
	})
	return found
}

// ready waits for the Ready condition.
func (r *rig) ready(status metav1.ConditionStatus, words string) {
	r.Helper()
	r.soon("Ready is "+string(status), func() error {
		c := apimeta.FindStatusCondition(r.sync().Status.Conditions, "Ready")
		if c == nil || c.Status != status || !strings.Contains(c.Message, words) {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
}

// inGit waits until a file has a part.
func (r *rig) inGit(name, part string) {
	r.Helper()
	r.soon(name+" has "+part, func() error {
		if text := r.repo.Git("show", "main:"+name); !strings.Contains(text, part) {
			return fmt.Errorf("it is\n%s\nstatus %+v", text, r.sync().Status)
		}
		return nil
	})
}
