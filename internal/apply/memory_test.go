package apply

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// process is a rig whose engine remembers in a file, and that can be stopped.
func process(t *testing.T, file string) (*rig, func()) {
	t.Helper()
	r := newClients(t)
	r.Engine = New(r.client, slog.New(slog.DiscardHandler), Kustomizations, Packs)
	r.settle, r.spread = 50*time.Millisecond, 50*time.Millisecond
	if err := r.Remember(file); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Start(ctx) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	eventually(t, "the engine has begun", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.epoch.isKnown()
	})
	return r, stop
}

func TestARestartThatRemembersAsksForNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		between func(t *testing.T, r *rig, ns, file string) // the processes
		want    map[string]Action
		checks  bool // there are requests, though nothing is written
	}{
		"nothing happened": {want: map[string]Action{"ConfigMap/a": Unchanged, "ConfigMap/b": Unchanged}},
		"an object drifted": {
			between: func(t *testing.T, r *rig, ns, _ string) { r.edit(t, ns, "b", "by hand") },
			want:    map[string]Action{"ConfigMap/a": Unchanged, "ConfigMap/b": Configured}, checks: true,
		},
		"the file is lost": {
			between: func(t *testing.T, _ *rig, _, file string) {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			},
			want: map[string]Action{"ConfigMap/a": Unchanged, "ConfigMap/b": Unchanged}, checks: true,
		},
		"the file is broken": {
			between: func(t *testing.T, _ *rig, _, file string) {
				if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			want: map[string]Action{"ConfigMap/a": Unchanged, "ConfigMap/b": Unchanged}, checks: true,
		},
		"the cluster was restored from a backup": {
			between: func(t *testing.T, r *rig, ns, file string) { r.edit(t, ns, "b", "of the backup"); makeNewer(t, file) },
			want:    map[string]Action{"ConfigMap/a": Unchanged, "ConfigMap/b": Configured}, checks: true,
		},
		"admission changed": {
			between: func(t *testing.T, r *rig, ns, _ string) { webhook(t, r, ns) },
			want:    map[string]Action{"ConfigMap/a": Configured, "ConfigMap/b": Configured}, checks: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns, file := namespace(t), filepath.Join(t.TempDir(), "memory")
			owner := Owner{"Kustomization", "flux-system", ns}
			first, stop := process(t, file)
			texts := []string{space(ns), settings(ns, "a", "1"), settings(ns, "b", "1")}
			first.mustApply(t, first.request(t, owner, texts...))
			stop()
			if tc.between != nil {
				tc.between(t, first, ns, file)
			}
			second, _ := process(t, file)
			before := second.requests.Load()
			got := actions(second.mustApply(t, second.request(t, owner, texts...)))
			for id, action := range tc.want {
				if got[id] != action {
					t.Errorf("%s was %q, want %q", id, got[id], action)
				}
			}
			requests := second.requests.Load() - before
			if (requests > 0) != tc.checks {
				t.Errorf("%d requests, want some: %t", requests, tc.checks)
			}
			if remembered := len(second.recalled); remembered > 0 {
				t.Errorf("%d owners are still only remembered", remembered)
			}
		})
	}
}

// makeNewer gives what is written down a resource version that the cluster has not reached.
func makeNewer(t *testing.T, file string) {
	t.Helper()
	var m struct {
		Format    int
		Admission Hash
		Owners    map[Owner]struct {
			User    string
			Rights  Hash
			Objects []struct {
				Entry         Entry
				Desired, Live Hash
				Version       string
				Once, Foreign bool
			}
		}
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(text)).Decode(&m)
	}
	for _, p := range m.Owners {
		for i := range p.Objects {
			p.Objects[i].Version = "999999999999"
		}
	}
	var out bytes.Buffer
	if err := errors.Join(err, gob.NewEncoder(&out).Encode(m), os.WriteFile(file, out.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// What one identity applied proves nothing of another.
func TestWhatIsRememberedIsOfOneIdentity(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "remembered"}
	file := filepath.Join(t.TempDir(), "memory")
	first, stop := process(t, file)
	first.applyAs(t, "setup", space(ns))
	poor := tenant(t, first, plane.Config, ns, "get")
	first.mustApply(t, first.request(t, owner, settings(ns, "a", "1")))
	stop()
	second, _ := process(t, file)
	request := second.request(t, owner, settings(ns, "a", "1"))
	request.Client = poor
	if _, err := second.Apply(t.Context(), request); err == nil || !strings.Contains(err.Error(), "cannot patch") {
		t.Errorf("error %v, want that the tenant may not apply this", err)
	}
}
