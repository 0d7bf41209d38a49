package bucket

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/source/follow"
	"github.com/peyk/peyk/internal/testkit"
	"github.com/peyk/peyk/internal/testkit/bench"
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

// rig is an object store, a cluster, and a controller between them.
type rig struct {
	*bench.Bench[*sourcev1.Bucket]
	buckets *minio.Client
}

func newRig(t *testing.T, bucket string) *rig {
	t.Helper()
	b := &rig{Bench: bench.New(t, func() *sourcev1.Bucket { return &sourcev1.Bucket{} },
		secret("keys", map[string]string{"accesskey": store.AccessKey, "secretkey": store.SecretKey}),
		secret("wrong", map[string]string{"accesskey": store.AccessKey, "secretkey": "wrong-secret"}),
		secret("half", map[string]string{"accesskey": store.AccessKey}),
	)}
	var err error
	b.buckets, err = minio.New(store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(store.AccessKey, store.SecretKey, "")})
	b.Must(err)
	b.Must(b.buckets.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}))
	c := &Controller{artifacts: b.Store, secrets: b.Client}
	b.Controller = follow.NewRunner(b.Client, c.kind(), follow.Deps{Artifacts: b.Store, Events: b})
	return b
}

func secret(name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

func (b *rig) put(bucket, key, content string) {
	b.Helper()
	if _, err := b.buckets.PutObject(b.Context(), bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{DisableMultipart: true}); err != nil {
		b.Fatal(err)
	}
}

func (b *rig) create(name, bucket string, change func(*sourcev1.BucketSpec)) {
	b.Helper()
	obj := &sourcev1.Bucket{
		Spec: sourcev1.BucketSpec{
			Provider: "generic", BucketName: bucket, Endpoint: store.Endpoint, Insecure: true, Interval: metav1.Duration{Duration: time.Minute},
			SecretRef: &meta.LocalObjectReference{Name: "keys"},
		},
	}
	if change != nil {
		change(&obj.Spec)
	}
	b.Create(name, obj)
}

func TestFollowsABucket(t *testing.T) {
	b := newRig(t, "follow")
	b.put("follow", "deploy/a.yaml", "a: 1\n")
	b.create("app", "follow", nil)
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj), bench.Good)
	found, ok := b.Store.Get(refOf(obj))
	if !ok || obj.Status.Artifact == nil || obj.Status.Artifact.Digest != found.Digest || !strings.HasPrefix(found.Revision, "sha256:") {
		t.Fatalf("%+v %+v", found, obj.Status.Artifact)
	}
	bench.Equal(t, obj.Status.URL, "http://peyk.test/bucket/default/app/"+strings.TrimPrefix(found.Revision, "sha256:")+".tar.gz")
	bench.Equal(t, apimeta.FindStatusCondition(obj.Status.Conditions, "Ready").Message, "stored artifact: revision '"+found.Revision+"'")
	bench.Equal(t, b.Events[0], "app Normal NewArtifact stored artifact with 1 fetched files from 'follow' bucket")
	if content, err := os.ReadFile(filepath.Join(found.Dir, "deploy", "a.yaml")); err != nil || string(content) != "a: 1\n" {
		t.Errorf("%q %v", content, err)
	}

	events, writes := len(b.Events), b.Writes
	again, result := b.Pass("app")
	bench.Equal(t, again.Status, obj.Status)
	bench.Equal(t, []int{len(b.Events), b.Writes}, []int{events, writes})
	if result.RequeueAfter < 57*time.Second || result.RequeueAfter > 63*time.Second {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}

	b.put("follow", "deploy/a.yaml", "a: 2\n")
	changed, _ := b.Pass("app")
	if changed.Status.Artifact.Revision == obj.Status.Artifact.Revision || changed.Status.Artifact.Digest == obj.Status.Artifact.Digest {
		t.Error("a change is not followed")
	}
	if err := b.buckets.RemoveObject(t.Context(), "follow", "deploy/a.yaml", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	empty, _ := b.Pass("app")
	bench.Equal(t, bench.States(empty), bench.Good)

	b.Delete(empty, refOf(empty))
}

func TestWrongSpecs(t *testing.T) {
	b := newRig(t, "specs")
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
		obj, result := b.Pass(name)
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, "Ready")
		if ready == nil || ready.Status != "False" || ready.Reason != tt.reason || bench.States(obj)[tt.state] == "" || bench.States(obj)["FetchFailed"] == "" {
			t.Errorf("%d: %v", i, bench.States(obj))
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
	obj, _ := b.Pass("aws")
	bench.Equal(t, bench.States(obj), bench.Good)
}

func TestPrefixAndIgnore(t *testing.T) {
	b := newRig(t, "parts")
	for _, key := range []string{"app/a.yaml", "app/b.yaml", "other/c.yaml"} {
		b.put("parts", key, key)
	}
	files := func(obj *sourcev1.Bucket) []string {
		t.Helper()
		found, ok := b.Store.Get(refOf(obj))
		if !ok {
			t.Fatal("no artifact is stored")
		}
		names, err := filepath.Glob(filepath.Join(found.Dir, "*", "*"))
		b.Must(err)
		for i, name := range names {
			names[i], err = filepath.Rel(found.Dir, name)
			b.Must(err)
		}
		return names
	}
	b.create("app", "parts", func(s *sourcev1.BucketSpec) { s.Prefix = "app/" })
	obj, _ := b.Pass("app")
	bench.Equal(t, files(obj), []string{"app/a.yaml", "app/b.yaml"})
	b.Update("app", func(obj *sourcev1.Bucket) { obj.Spec.Ignore = new("b.yaml") })
	obj, _ = b.Pass("app")
	bench.Equal(t, files(obj), []string{"app/a.yaml"})
	bench.Equal(t, *obj.Status.ObservedIgnore, "b.yaml")
}

func TestTimeout(t *testing.T) {
	b := newRig(t, "slow")
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	b.create("app", "slow", func(s *sourcev1.BucketSpec) {
		s.Endpoint, s.Timeout = strings.TrimPrefix(silent.URL, "http://"), &metav1.Duration{Duration: 100 * time.Millisecond}
	})
	obj, _ := b.Pass("app")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True BucketOperationFailed")
	if !strings.Contains(bench.Message(obj), "raise spec.timeout") {
		t.Error(bench.Message(obj))
	}
}

func TestSuspendedIsLeftAlone(t *testing.T) {
	b := newRig(t, "suspended")
	b.create("app", "gone", func(s *sourcev1.BucketSpec) { s.Suspend = true })
	obj, _ := b.Pass("app")
	bench.Equal(t, len(obj.Status.Conditions), 0)
}
