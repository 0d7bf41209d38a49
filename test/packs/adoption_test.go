package packs_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// meddler changes a ConfigMap as soon as Helm has applied it, before anybody hears that it was applied.
type meddler struct {
	next   http.RoundTripper
	meddle func(namespace string)
	once   sync.Once

	mu   sync.Mutex
	gets []string
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := m.next.RoundTrip(r)
	if strings.HasSuffix(r.URL.Path, "/configmaps/note") {
		if r.Method == http.MethodPatch && r.URL.Query().Get("fieldManager") == "helm" {
			m.once.Do(func() { m.meddle(strings.Split(r.URL.Path, "/")[4]) })
		}
		if r.Method == http.MethodGet {
			m.mu.Lock()
			m.gets = append(m.gets, r.URL.Path)
			m.mu.Unlock()
		}
	}
	return answer, err
}

// TestChangeDuringInstall changes an object between Helm's action and the moment from which on Peyk watches it.
func TestChangeDuringInstall(t *testing.T) {
	m := &meddler{meddle: func(namespace string) {
		var obj corev1.ConfigMap
		check(t, shared.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "note"}, &obj))
		obj.Data["text"] = "meddled"
		check(t, shared.client.Update(t.Context(), &obj))
	}}
	original := shared.config.WrapTransport
	shared.config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		m.next = next
		return m
	}
	t.Cleanup(func() { shared.config.WrapTransport = original })
	start(t)
	ns := namespace(t, "meddled")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := create(t, ns, notePack)
	hasEvent(t, obj, "DriftCorrected", "ConfigMap/"+ns+"/note")
	text(t, ns, "hello")
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.gets) > 1 { // Helm looks whose it is before it installs
		t.Errorf("the object was read %d times", len(m.gets))
	}
}
