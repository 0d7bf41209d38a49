package bucket

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/testkit"
)

var store *testkit.ObjectStore

func TestMain(m *testing.M) {
	var err error
	if store, err = testkit.StartObjectStore(); err != nil {
		fmt.Fprintln(os.Stderr, "starting an object store for the tests:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := store.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// bench is an object store, a cluster, and a controller between them.
type bench struct {
	*testing.T
	buckets   *minio.Client
	client    client.Client
	artifacts *artifact.Store
	runner    *reconcile.Runner[*sourcev1.Bucket]
	events    []string
	writes    int
}

func (b *bench) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	b.events = append(b.events, eventType+" "+reason+" "+fmt.Sprintf(note, args...))
}

func newBench(t *testing.T, bucket string) *bench {
	t.Helper()
	b := &bench{T: t}
	var err error
	if b.buckets, err = minio.New(store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(store.AccessKey, store.SecretKey, "")}); err != nil {
		t.Fatal(err)
	}
	if err := b.buckets.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	b.client = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&sourcev1.Bucket{}).
		WithObjects(
			secret("keys", map[string]string{"accesskey": store.AccessKey, "secretkey": store.SecretKey}),
			secret("wrong", map[string]string{"accesskey": store.AccessKey, "secretkey": "wrong-secret"}),
			secret("half", map[string]string{"accesskey": store.AccessKey}),
		).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, o ...client.SubResourcePatchOption) error {
				b.writes++
				return c.SubResource(sub).Patch(ctx, obj, p, o...)
			},
		}).Build()
	if b.artifacts, err = artifact.New(filepath.Join(t.TempDir(), "artifacts"), "http://peyk.test", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	c := &Controller{artifacts: b.artifacts, secrets: b.client}
	b.runner = reconcile.NewRunner(c.kind(), reconcile.Options{Client: b.client, Events: b})
	return b
}

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

func (b *bench) put(bucket, key, content string) {
	b.Helper()
	if _, err := b.buckets.PutObject(b.Context(), bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{DisableMultipart: true}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) create(name, bucket string, change func(*sourcev1.BucketSpec)) {
	b.Helper()
	obj := &sourcev1.Bucket{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Generation: 1},
		Spec: sourcev1.BucketSpec{
			Provider: "generic", BucketName: bucket, Endpoint: store.Endpoint, Insecure: true, Interval: metav1.Duration{Duration: time.Minute},
			SecretRef: &meta.LocalObjectReference{Name: "keys"},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	if err := b.client.Create(b.Context(), obj); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) pass(name string) (*sourcev1.Bucket, ctrl.Result) {
	b.Helper()
	key := client.ObjectKey{Namespace: "default", Name: name}
	result, err := b.runner.Reconcile(b.Context(), ctrl.Request{NamespacedName: key})
	if err != nil {
		b.Fatal(err)
	}
	obj := &sourcev1.Bucket{}
	if err := b.client.Get(b.Context(), key, obj); err != nil {
		b.Fatal(err)
	}
	return obj, result
}

func states(obj *sourcev1.Bucket) map[string]string {
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

var good = map[string]string{"Ready": "True Succeeded", "ArtifactInStorage": "True Succeeded"}

func TestFollowsABucket(t *testing.T) {
	b := newBench(t, "follow")
	b.put("follow", "deploy/a.yaml", "a: 1\n")
	b.create("app", "follow", nil)
	obj, _ := b.pass("app")
	equal(t, states(obj), good)
	found, ok := b.artifacts.Get(refOf(obj))
	if !ok || obj.Status.Artifact == nil || obj.Status.Artifact.Digest != found.Digest || !strings.HasPrefix(found.Revision, "sha256:") {
		t.Fatalf("%+v %+v", found, obj.Status.Artifact)
	}
	equal(t, obj.Status.URL, "http://peyk.test/bucket/default/app/"+strings.TrimPrefix(found.Revision, "sha256:")+".tar.gz")
	equal(t, apimeta.FindStatusCondition(obj.Status.Conditions, "Ready").Message, "stored artifact: revision '"+found.Revision+"'")
	equal(t, b.events[0], "Normal NewArtifact stored artifact with 1 fetched files from 'follow' bucket")
	if content, err := os.ReadFile(filepath.Join(found.Dir, "deploy", "a.yaml")); err != nil || string(content) != "a: 1\n" {
		t.Errorf("%q %v", content, err)
	}

	events, writes := len(b.events), b.writes
	again, result := b.pass("app")
	equal(t, again.Status, obj.Status)
	equal(t, []int{len(b.events), b.writes}, []int{events, writes})
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}

	b.put("follow", "deploy/a.yaml", "a: 2\n")
	changed, _ := b.pass("app")
	if changed.Status.Artifact.Revision == obj.Status.Artifact.Revision || changed.Status.Artifact.Digest == obj.Status.Artifact.Digest {
		t.Error("a change is not followed")
	}
	if err := b.buckets.RemoveObject(t.Context(), "follow", "deploy/a.yaml", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	empty, _ := b.pass("app")
	equal(t, states(empty), good)

	if err := b.client.Delete(t.Context(), empty); err != nil {
		t.Fatal(err)
	}
	if _, err := b.runner.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(empty)}); err != nil {
		t.Fatal(err)
	}
	if _, ok := b.artifacts.Get(refOf(empty)); ok {
		t.Error("the artifact of a deleted Bucket is still there")
	}
}

func TestWrongSpecs(t *testing.T) {
	b := newBench(t, "specs")
	b.put("specs", "a", "a")
	ref := func(name string) *meta.LocalObjectReference { return &meta.LocalObjectReference{Name: name} }
	stalled, retried := "Stalled", "Reconciling"
	for i, tt := range []struct {
		change        func(*sourcev1.BucketSpec)
		reason, state string
		part          string
	}{
		{func(s *sourcev1.BucketSpec) { s.Provider = "gcp" }, "InvalidProviderConfiguration", stalled, "spec.provider"},
		{func(s *sourcev1.BucketSpec) { s.Provider = "azure" }, "InvalidProviderConfiguration", stalled, "spec.provider"},
		{func(s *sourcev1.BucketSpec) { s.Provider, s.SecretRef = "aws", nil }, "InvalidProviderConfiguration", stalled, "spec.secretRef"},
		{func(s *sourcev1.BucketSpec) { s.ServiceAccountName = "x" }, "InvalidProviderConfiguration", stalled, "spec.serviceAccountName"},
		{func(s *sourcev1.BucketSpec) { s.STS = &sourcev1.BucketSTSSpec{Provider: "aws", Endpoint: "https://x"} }, "InvalidSTSConfiguration", stalled, "spec.sts.provider"},
		{func(s *sourcev1.BucketSpec) { s.STS = &sourcev1.BucketSTSSpec{Provider: "ldap", Endpoint: "x"} }, "URLInvalid", stalled, "spec.sts.endpoint"},
		{func(s *sourcev1.BucketSpec) { s.SecretRef = ref("gone") }, "AuthenticationFailed", retried, "Secret gone"},
		{func(s *sourcev1.BucketSpec) { s.SecretRef = ref("half") }, "AuthenticationFailed", retried, "secretkey"},
		{func(s *sourcev1.BucketSpec) { s.CertSecretRef = ref("keys") }, "AuthenticationFailed", retried, "spec.certSecretRef"},
		{func(s *sourcev1.BucketSpec) { s.ProxySecretRef = ref("keys") }, "AuthenticationFailed", retried, "spec.proxySecretRef"},
		{func(s *sourcev1.BucketSpec) {
			s.SecretRef, s.STS = nil, &sourcev1.BucketSTSSpec{Provider: "ldap", Endpoint: "http://x", SecretRef: ref("gone")}
		}, "AuthenticationFailed", retried, "spec.sts.secretRef"},
		{func(s *sourcev1.BucketSpec) { s.SecretRef = ref("wrong") }, "BucketOperationFailed", retried, "spec.secretRef"},
		{func(s *sourcev1.BucketSpec) { s.BucketName = "gone" }, "BucketOperationFailed", retried, "bucket not found"},
	} {
		name := fmt.Sprint("app", i)
		b.create(name, "specs", tt.change)
		obj, result := b.pass(name)
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready")
		if ready == nil || ready.Status != "False" || ready.Reason != tt.reason || states(obj)[tt.state] == "" || states(obj)["FetchFailed"] == "" {
			t.Errorf("%d: %v", i, states(obj))
			continue
		}
		if !strings.Contains(ready.Message, tt.part) || strings.Contains(ready.Message, "wrong-secret") {
			t.Errorf("%d: the message does not say %q: %s", i, tt.part, ready.Message)
		}
		if (result.RequeueAfter == 0) != (tt.state == stalled) {
			t.Errorf("%d: the next pass is in %s", i, result.RequeueAfter)
		}
	}
	b.create("aws", "specs", func(s *sourcev1.BucketSpec) { s.Provider, s.Region = "aws", "us-east-1" })
	obj, _ := b.pass("aws")
	equal(t, states(obj), good)
}

func TestSuspendedIsLeftAlone(t *testing.T) {
	b := newBench(t, "suspended")
	b.create("app", "gone", func(s *sourcev1.BucketSpec) { s.Suspend = true })
	obj, _ := b.pass("app")
	equal(t, len(obj.Status.Conditions), 0)
}
