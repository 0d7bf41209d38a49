package faults_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func metaName(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

// fails waits until the GitRepository is not ready, with a message that has every part.
func (r *repository) fails(t *testing.T, parts ...string) {
	t.Helper()
	eventually(t, 90*time.Second, func() error {
		obj := &sourcev1.GitRepository{}
		if err := world.Client.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: r.name}, obj); err != nil {
			return err
		}
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, meta.ReadyCondition)
		if ready == nil || ready.Status != metav1.ConditionFalse {
			return fmt.Errorf("it is not failing: %+v", ready)
		}
		return containsAll(ready.Message, parts)
	})
}

// Whatever the Git server does, what was applied stays, the object says what is wrong, and when the server is itself
// again the newest commit is applied without anybody asking.
func TestGitServer(t *testing.T) {
	namespace(t, "gitfaults")
	r := follow(t, "gitfaults", map[string]string{"all/a.yaml": configMap("gitfaults", "a", "0")})
	create(t, r.kustomization("gitfaults", "all"))
	applied(t, "gitfaults", "", 90*time.Second)
	for i, fault := range []struct {
		name  string
		serve http.HandlerFunc
		says  []string
	}{
		{"answers 500", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) }, []string{"500"}},
		{"answers 429", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "slow down", http.StatusTooManyRequests)
		}, []string{"429"}},
		{"closes the connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil},
		{"answers garbage", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("\x00garbage", 1000)))
		}, nil},
		{"hangs", func(w http.ResponseWriter, req *http.Request) { <-req.Context().Done() }, nil},
	} {
		t.Run(fault.name, func(t *testing.T) {
			r.fault.Store(&fault.serve)
			r.push(t, map[string]string{"all/a.yaml": configMap("gitfaults", "a", fmt.Sprint(i+1))})
			r.fails(t, fault.says...)
			holds(t, "gitfaults", "a", fmt.Sprint(i))
			r.fault.Store(nil)
			eventually(t, time.Minute, func() error {
				if got, err := value("gitfaults", "a"); err != nil || got != fmt.Sprint(i+1) {
					return fmt.Errorf("it holds %q (%w)", got, err)
				}
				return nil
			})
		})
	}
}

// A branch that is forced to another history, and one that is gone.
func TestRewrittenHistory(t *testing.T) {
	namespace(t, "rewritten")
	r := follow(t, "rewritten", map[string]string{"all/a.yaml": configMap("rewritten", "a", "1"), "all/b.yaml": configMap("rewritten", "b", "1")})
	create(t, r.kustomization("rewritten", "all"))
	applied(t, "rewritten", "", 90*time.Second)
	r.Commit("other", "another history", map[string]string{"all/a.yaml": configMap("rewritten", "a", "forced")})
	r.Git("update-ref", "refs/heads/main", "refs/heads/other")
	r.Git("reflog", "expire", "--expire=now", "--all")
	r.Git("gc", "--quiet", "--prune=now")
	r.announce(t)
	applied(t, "rewritten", "main@sha1:"+r.Git("rev-parse", "main"), 90*time.Second)
	holds(t, "rewritten", "a", "forced")
	if _, err := value("rewritten", "b"); err == nil {
		t.Error("an object of the old history is left")
	}
	r.Git("update-ref", "-d", "refs/heads/main")
	r.announce(t)
	r.fails(t, "main")
	holds(t, "rewritten", "a", "forced")
	r.Git("update-ref", "refs/heads/main", "refs/heads/other")
	r.push(t, map[string]string{"all/a.yaml": configMap("rewritten", "a", "back")})
	holds(t, "rewritten", "a", "back")
}
