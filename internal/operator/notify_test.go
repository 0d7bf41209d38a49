package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

// desk is a whole operator in this process, with a repository, a relay for notifications and the API of a Git server.
type desk struct {
	*testing.T
	client client.Client
	repo   *gittest.Repo
	git    string
	hooks  string
	log    *journal

	mu       sync.Mutex
	events   []event.Event
	statuses map[string][]string
	relay    string
	forge    string
}

// journal is a log that several goroutines write.
type journal struct {
	mu sync.Mutex
	bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.Buffer.Write(p)
}

func (j *journal) say(line string) { _, _ = j.Write([]byte(line + "\n")) }

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.String()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, statuses: map[string][]string{}, log: &journal{}}
	relay := httptest.NewServer(http.HandlerFunc(d.takeEvent))
	forge := httptest.NewServer(http.HandlerFunc(d.takeStatus))
	t.Cleanup(relay.Close)
	t.Cleanup(forge.Close)
	root := t.TempDir()
	d.relay, d.forge = relay.URL, forge.URL
	d.repo = gittest.NewRepo(t, root, "app")
	d.git = gittest.NewHTTPServer(t, root, nil).URL + "/app.git"
	scheme, err := NewScheme()
	d.must(err)
	d.client, err = client.New(plane.Config, client.Options{Scheme: scheme})
	d.must(err)
	d.run()
	d.waits()
	d.define()
	return d
}

// waits checks that an operator without the definitions of its kinds lives, is not ready, and says why.
func (d *desk) waits() {
	d.Helper()
	get := func(path string) (int, string) {
		answer, err := http.Get(d.hooks + path) //nolint:noctx // this test's server
		if err != nil {
			return 0, err.Error()
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	d.soon("the operator lives", func() bool { code, _ := get("/healthz"); return code == http.StatusOK })
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "definitions") {
		d.Errorf("ready: %d %s", code, text)
	}
	d.soon("it says so", func() bool {
		return strings.Contains(d.log.text(), "peyk install") && strings.Contains(d.log.text(), "Kustomization")
	})
}

func (d *desk) define() {
	d.Helper()
	d.must(testkit.Define(d.Context(), d.client))
}

func (d *desk) run() {
	d.Helper()
	address := func() string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		d.must(err)
		defer func() { _ = listener.Close() }()
		return listener.Addr().String()
	}
	o := Options{
		Config: plane.Config, Namespace: "peyk", HTTPAddr: address(), MetricsAddr: "0", ArtifactAddr: address(),
		DataDir: filepath.Join(d.TempDir(), "data"), Concurrent: 4, Log: slog.New(slog.NewTextHandler(d.log, nil)),
	}
	o.ArtifactURL, d.hooks = "http://"+o.ArtifactAddr, "http://"+o.HTTPAddr
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := Run(ctx, o)
		if err != nil {
			d.log.say("the operator ended: " + err.Error())
		}
		done <- err
	}()
	d.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			d.Errorf("the operator: %v", err)
		}
	})
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) soon(what string, ok func() bool) {
	d.Helper()
	for deadline := time.Now().Add(120 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.Fatalf("%s: not within 60 s; events %v; statuses %v\n%s", what, d.heard(), d.statuses, d.log.text())
		}
	}
}

func (d *desk) takeEvent(_ http.ResponseWriter, req *http.Request) {
	var e event.Event
	if err := json.NewDecoder(req.Body).Decode(&e); err != nil {
		d.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

func (d *desk) takeStatus(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		_, _ = io.WriteString(w, "[]")
		return
	}
	var status struct{ State, Context, Description string }
	if err := json.NewDecoder(req.Body).Decode(&status); err != nil {
		d.Error(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	commit := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	d.statuses[commit] = append(d.statuses[commit], status.State+" "+status.Context+" "+status.Description)
}

// heard lists the events that the relay got, in short.
func (d *desk) heard() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, e := range d.events {
		list = append(list, e.Severity+" "+e.Object()+" "+e.Reason+" "+e.Metadata["revision"]+" "+e.Metadata["cluster"])
	}
	return list
}

func (d *desk) has(parts ...string) func() bool {
	return func() bool {
		for _, line := range d.heard() {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			if all {
				return true
			}
		}
		return false
	}
}

func (d *desk) status(commit, prefix string) func() bool {
	return func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, s := range d.statuses[commit] {
			if strings.HasPrefix(s, prefix) {
				return true
			}
		}
		return false
	}
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "team", Name: name} }

// create makes the objects of a team that wants to know what happens to its application.
func (d *desk) create() {
	d.Helper()
	hour := metav1.Duration{Duration: time.Hour}
	ref := func(kind string) notificationv1.CrossNamespaceObjectReference {
		return notificationv1.CrossNamespaceObjectReference{Kind: kind, Name: "*"}
	}
	sources := []notificationv1.CrossNamespaceObjectReference{ref(sourcev1.GitRepositoryKind), ref(ksv1.KustomizationKind)}
	secret := &meta.LocalObjectReference{Name: "token"}
	for _, obj := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}},
		&corev1.Secret{ObjectMeta: named("token"), StringData: map[string]string{"token": "first-token"}},
		&v1beta3.Provider{ObjectMeta: named("relay"), Spec: v1beta3.ProviderSpec{Type: v1beta3.GenericProvider, Address: d.relay}},
		&v1beta3.Provider{ObjectMeta: named("forge"), Spec: v1beta3.ProviderSpec{
			Type: v1beta3.GitHubProvider, Address: d.forge + "/org/app", SecretRef: secret, CommitStatusExpr: `"deploy/" + event.involvedObject.name`,
		}},
		&v1beta3.Alert{ObjectMeta: named("all"), Spec: v1beta3.AlertSpec{
			ProviderRef: meta.LocalObjectReference{Name: "relay"}, EventSeverity: event.Info, EventSources: sources, EventMetadata: map[string]string{"cluster": "eu"},
		}},
		&v1beta3.Alert{ObjectMeta: named("commits"), Spec: v1beta3.AlertSpec{
			ProviderRef: meta.LocalObjectReference{Name: "forge"}, EventSeverity: event.Info, EventSources: sources[1:],
		}},
		&notificationv1.Receiver{ObjectMeta: named("push"), Spec: notificationv1.ReceiverSpec{
			Type: notificationv1.GenericReceiver, SecretRef: secret, ResourceFilter: `req.ref == "refs/heads/main"`,
			Resources: []notificationv1.ReceiverResource{{CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: sourcev1.GitRepositoryKind, Name: "app"}}},
		}},
		&sourcev1.GitRepository{ObjectMeta: named("app"), Spec: sourcev1.GitRepositorySpec{
			URL: d.git, Interval: hour, Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		}},
		&ksv1.Kustomization{ObjectMeta: named("app"), Spec: ksv1.KustomizationSpec{
			Interval: hour, Path: "./", Prune: true, TargetNamespace: "team",
			SourceRef: ksv1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: "app"},
		}},
	} {
		d.must(d.client.Create(d.Context(), obj))
	}
}

// path waits for the path of the Receiver to be another one than before.
func (d *desk) path(before string) string {
	d.Helper()
	obj := &notificationv1.Receiver{}
	d.soon("the receiver has a new path", func() bool {
		d.must(d.client.Get(d.Context(), client.ObjectKey{Namespace: "team", Name: "push"}, obj))
		return obj.Status.WebhookPath != before && apimeta.IsStatusConditionTrue(obj.Status.Conditions, "Ready")
	})
	return obj.Status.WebhookPath
}

func (d *desk) push(path, body string) int {
	d.Helper()
	answer, err := http.Post(d.hooks+path, "application/json", strings.NewReader(body)) //nolint:gosec,noctx // this test's server
	d.must(err)
	d.must(answer.Body.Close())
	return answer.StatusCode
}

func configMap(value string) map[string]string {
	return map[string]string{"app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\ndata:\n  value: " + value + "\n"}
}

func TestPushesComeInAndNewsGoOut(t *testing.T) {
	d := newDesk(t)
	first := d.repo.Commit("main", "first", configMap("one"))
	d.create()
	d.soon("the source is told", d.has("info gitrepository/app.team", "main@sha1:"+first, " eu"))
	d.soon("the application is told", d.has("info kustomization/app.team ReconciliationSucceeded", first))
	d.soon("the commit has its status", d.status(first, "success deploy/app reconciliation succeeded"))

	path := d.path("")
	broken := d.repo.Commit("main", "broken", map[string]string{"app.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: NOT VALID\n"})
	if code := d.push(path, `{"ref":"refs/heads/other"}`); code != http.StatusOK {
		t.Errorf("another branch: status %d", code)
	}
	if code := d.push(path, `{"ref":"refs/heads/main"}`); code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	d.soon("the failure is told", d.has("error kustomization/app.team", broken))
	d.soon("the commit has its status", d.status(broken, "failure deploy/app"))

	secret := &corev1.Secret{ObjectMeta: named("token"), StringData: map[string]string{"token": "second-token"}}
	d.must(d.client.Update(t.Context(), secret))
	changed := time.Now()
	next := d.path(path)
	t.Logf("a new token counted after %s", time.Since(changed))
	if code := d.push(path, `{"ref":"refs/heads/main"}`); code != http.StatusNotFound {
		t.Errorf("the old path: status %d", code)
	}
	mended := d.repo.Commit("main", "mended", configMap("two"))
	if code := d.push(next, `{"ref":"refs/heads/main"}`); code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	d.soon("the repair is told", d.has("info kustomization/app.team ReconciliationSucceeded", mended))
	d.soon("the commit has its status", d.status(mended, "success deploy/app"))
	if text := d.log.text(); strings.Contains(text, "first-token") || strings.Contains(text, path) {
		t.Error("the log shows a secret")
	}
}
