package externalartifact

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/source/external"
	"github.com/peyk/peyk/internal/testkit/bench"
)

func TestFollowsAnExternalArtifact(t *testing.T) {
	theirs, ours := bench.NewStore(t, t.TempDir()), bench.NewStore(t, t.TempDir())
	server := httptest.NewServer(theirs)
	t.Cleanup(server.Close)
	stored, err := theirs.Put(t.Context(), artifact.Ref{Kind: "K", Namespace: "n", Name: "n"}, "1", func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := sourcev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	obj := &sourcev1.ExternalArtifact{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app"}}
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj).WithStatusSubresource(obj).Build()
	c := &Controller{artifacts: ours, reader: cluster}
	var woken []artifact.Ref
	ours.Subscribe(func(ref artifact.Ref) { woken = append(woken, ref) })
	pass := func() error {
		_, err := c.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
		return err
	}
	if err := pass(); err != nil || len(woken) > 0 {
		t.Fatalf("an object without artifact: %v", err)
	}
	obj.Status.Artifact = &meta.Artifact{URL: server.URL + "/" + stored.Path, Path: stored.Path, Digest: stored.Digest, Revision: "1", LastUpdateTime: metav1.Now()}
	if err := cluster.Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	if found, ok := ours.Get(external.RefOf(obj)); !ok || found.Revision != "1" || len(woken) != 1 || woken[0] != external.RefOf(obj) {
		t.Errorf("%+v, woken: %v", found, woken)
	}
	if err := cluster.Delete(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	if err := pass(); err != nil {
		t.Fatal(err)
	}
	if _, ok := ours.Get(external.RefOf(obj)); ok {
		t.Error("the artifact of a deleted object is still there")
	}
}

func TestOnlyNewArtifactsCount(t *testing.T) {
	with := func(a *meta.Artifact) *sourcev1.ExternalArtifact {
		return &sourcev1.ExternalArtifact{Status: sourcev1.ExternalArtifactStatus{Artifact: a}}
	}
	one := &meta.Artifact{Digest: "d", Revision: "r", URL: "u"}
	for name, tt := range map[string]struct {
		was, is *meta.Artifact
		want    bool
	}{
		"the first":  {nil, one, true},
		"the same":   {one, &meta.Artifact{Digest: "d", Revision: "r", URL: "u", LastUpdateTime: metav1.Now()}, false},
		"digest":     {one, &meta.Artifact{Digest: "e", Revision: "r", URL: "u"}, true},
		"revision":   {one, &meta.Artifact{Digest: "d", Revision: "s", URL: "u"}, true},
		"moved":      {one, &meta.Artifact{Digest: "d", Revision: "r", URL: "v"}, true},
		"taken back": {one, nil, true},
		"none":       {nil, nil, false},
	} {
		if got := newArtifact().Update(event.UpdateEvent{ObjectOld: with(tt.was), ObjectNew: with(tt.is)}); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
