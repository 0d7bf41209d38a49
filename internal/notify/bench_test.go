package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// bench is a Bus with a cluster, and services that take notifications.
type bench struct {
	*testing.T
	client client.Client
	bus    *Bus
	dir    string
	log    *lockedBuilder
	stop   func()

	mu     sync.Mutex
	warned []string
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Eventf takes the Kubernetes events of the Bus.
func (b *bench) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warned = append(b.warned, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func (b *bench) warnings() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.warned...)
}

func quick() Timing {
	t := DefaultTiming()
	t.First, t.Longest, t.Idle, t.TellAfter = time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, 2
	t.PerSecond, t.Burst = 10000, 10000
	return t
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta3.AddToScheme, ksv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func newTestBus(t *testing.T, timing Timing, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir(), log: &lockedBuilder{}}
	b.client = fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).Build()
	b.start(timing)
	t.Cleanup(func() { b.stop() })
	return b
}

// start makes a Bus, as a process that starts does.
func (b *bench) start(timing Timing) {
	b.Helper()
	bus, err := New(Options{
		Path: filepath.Join(b.dir, "notifications.db"), Reader: b.client, Scheme: b.client.Scheme(), Events: b,
		Policy: tenancy.Policy{}, Log: slog.New(slog.NewTextHandler(b.log, nil)), Timing: timing,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.bus = bus
	ctx, cancel := newContext()
	done := make(chan error, 1)
	go func() { done <- bus.Start(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := bus.Close(); err != nil {
			b.Error(err)
		}
	})
	b.eventually("the bus runs", func() bool {
		bus.mu.Lock()
		defer bus.mu.Unlock()
		return bus.ctx != nil
	})
}

func (b *bench) eventually(what string, ok func() bool) {
	b.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not in 20 s; log:\n%s", what, b.log)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// sink is a service of type generic.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	events []event.Event
	// answer gives the status for the n-th request, from 1.
	answer   func(n int) int
	requests int
}

func newSink(t *testing.T, answer func(n int) int) *sink {
	t.Helper()
	s := &sink{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests++
		if s.answer != nil {
			if code := s.answer(s.requests); code != http.StatusOK {
				w.WriteHeader(code)
				_, _ = io.WriteString(w, "no: "+req.URL.Path+" "+req.Header.Get("X-Key"))
				return
			}
		}
		var e event.Event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		s.events = append(s.events, e)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) got() []event.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.Event(nil), s.events...)
}

func provider(name, address string) *v1beta3.Provider {
	return &v1beta3.Provider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "aabb-ccdd"},
		Spec:       v1beta3.ProviderSpec{Type: v1beta3.GenericProvider, Address: address, SecretRef: &meta.LocalObjectReference{Name: "secret"}},
	}
}

func alert(name, provider string, change func(*v1beta3.AlertSpec)) *v1beta3.Alert {
	a := &v1beta3.Alert{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name},
		Spec: v1beta3.AlertSpec{
			ProviderRef: meta.LocalObjectReference{Name: provider}, EventSeverity: event.Info,
			EventSources: []notificationv1.CrossNamespaceObjectReference{{Kind: ksv1.KustomizationKind, Name: "*"}},
		},
	}
	if change != nil {
		change(&a.Spec)
	}
	return a
}

func secret() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "secret"},
		Data:       map[string][]byte{"token": []byte("the-secret-token"), "headers": []byte("X-Key: the-secret-header\n")},
	}
}

func kustomization(name string) *ksv1.Kustomization {
	return &ksv1.Kustomization{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: name, UID: "1234", Labels: map[string]string{"tier": "web"},
		Annotations: map[string]string{reconcile.EventAnnotations + "owner": "ops", "other/x": "y"},
	}}
}

// heard is an event of a Kustomization.
func heard(name, message string) reconcile.Event {
	return reconcile.Event{
		Object: kustomization(name), Reason: "ReconciliationSucceeded", Message: message,
		Metadata: map[string]string{reconcile.MetaRevision: "main@sha1:1", reconcile.MetaToken: "t"},
	}
}
