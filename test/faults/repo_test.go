package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/git/gittest"
)

// repository is a Git repository that one GitRepository of the same name follows, behind a server that can fail.
type repository struct {
	*gittest.Repo
	name  string
	fault atomic.Pointer[http.HandlerFunc]
	url   string
}

// follow makes a repository with a first commit, and a GitRepository in the namespace default that follows it.
func follow(t *testing.T, name string, files map[string]string, change ...func(*sourcev1.GitRepositorySpec)) *repository {
	t.Helper()
	root := t.TempDir()
	r := &repository{Repo: gittest.NewRepo(t, root, name), name: name}
	r.Commit("main", "first", files)
	target, err := url.Parse(gittest.NewHTTPServer(t, root, nil).URL)
	check(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if fault := r.fault.Load(); fault != nil {
			(*fault)(w, req)
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(front.Close)
	r.url = front.URL + "/" + name + ".git"
	obj := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: sourcev1.GitRepositorySpec{
			URL: r.url, Interval: duration(time.Hour), Timeout: new(duration(5 * time.Second)),
			Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}
	for _, f := range change {
		f(&obj.Spec)
	}
	create(t, obj)
	return r
}

// announce does what a webhook does.
func (r *repository) announce(t *testing.T) {
	t.Helper()
	request(t, &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: r.name}})
}

// push commits files and announces it. It returns the revision.
func (r *repository) push(t *testing.T, files map[string]string) string {
	t.Helper()
	commit := r.Commit("main", "change", files)
	r.announce(t)
	return "main@sha1:" + commit
}

// request asks for a pass over an object.
func request(t *testing.T, obj client.Object) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, time.Now().Format(time.RFC3339Nano))
	check(t, world.Client.Patch(context.Background(), obj, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// kustomization is a Kustomization in the namespace default of a path of the repository.
func (r *repository) kustomization(name, path string, change ...func(*ksv1.KustomizationSpec)) *ksv1.Kustomization {
	k := &ksv1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: ksv1.KustomizationSpec{
			Interval: duration(time.Hour), RetryInterval: new(duration(time.Second)), Path: path, Prune: true,
			SourceRef: ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: r.name},
		},
	}
	for _, f := range change {
		f(&k.Spec)
	}
	return k
}

func duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

// create creates an object, and deletes it when the test ends. It waits until it is gone: the next test begins clean.
func create(t *testing.T, obj client.Object) {
	t.Helper()
	check(t, world.Client.Create(context.Background(), obj))
	t.Cleanup(func() { remove(t, obj) })
}

func remove(t *testing.T, obj client.Object) {
	t.Helper()
	if err := world.Client.Delete(context.Background(), obj); client.IgnoreNotFound(err) != nil {
		t.Errorf("deleting %s: %v", obj.GetName(), err)
	}
	if _, namespace := obj.(*corev1.Namespace); namespace {
		return // content and finalizers are the cluster's business
	}
	eventually(t, time.Minute, func() error {
		err := world.Client.Get(context.Background(), client.ObjectKeyFromObject(obj), obj)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%T %s is still there (%w)", obj, obj.GetName(), err)
	})
}

func namespace(t *testing.T, name string) {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually tries until f returns nil, and fails the test when it does not in time.
func eventually(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v\n%s", limit, err, world.Operator.Tail(15))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// read returns the Kustomization of a name.
func read(name string) (*ksv1.Kustomization, error) {
	k := &ksv1.Kustomization{}
	return k, world.Client.Get(context.Background(), types.NamespacedName{Namespace: "default", Name: name}, k)
}

// applied waits until a Kustomization is Ready at a revision; an empty one stands for any.
func applied(t *testing.T, name, revision string, limit time.Duration) *ksv1.Kustomization {
	t.Helper()
	var k *ksv1.Kustomization
	eventually(t, limit, func() (err error) {
		if k, err = read(name); err != nil {
			return err
		}
		ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
		switch {
		case ready == nil:
			return fmt.Errorf("%s has no Ready condition", name)
		case ready.Status != metav1.ConditionTrue || k.Status.ObservedGeneration != k.Generation:
			return fmt.Errorf("%s is not ready: %s", name, ready.Message)
		case revision != "" && k.Status.LastAppliedRevision != revision:
			return fmt.Errorf("%s has applied %s, want %s", name, k.Status.LastAppliedRevision, revision)
		}
		return nil
	})
	return k
}

// refused waits until a Kustomization is not ready, with a message that has every part.
func refused(t *testing.T, name string, limit time.Duration, parts ...string) string {
	t.Helper()
	var message string
	eventually(t, limit, func() error {
		k, err := read(name)
		if err != nil {
			return err
		}
		ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
		if ready == nil || ready.Status != metav1.ConditionFalse {
			return fmt.Errorf("%s is not refused: %+v", name, ready)
		}
		message = ready.Message
		return containsAll(message, parts)
	})
	return message
}
