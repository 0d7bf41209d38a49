// Package sources tries kinds of sources from end to end: a Git server, an object store and another program on one side,
// a cluster's API server on the other, and the whole operator between them.
package sources

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/operator"
	"github.com/peyk/peyk/internal/testkit"
)

var plane *testkit.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(testkit.Main(m, func(c *testkit.ControlPlane) { plane = c }))
}

// bench is a cluster with a running operator.
type bench struct {
	*testing.T
	client client.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t}
	scheme, err := operator.NewScheme()
	b.must(err)
	b.client, err = client.New(plane.Config, client.Options{Scheme: scheme})
	b.must(err)
	b.must(testkit.Define(t.Context(), b.client))
	b.run()
	return b
}

func (b *bench) run() {
	b.Helper()
	address := func() string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		b.must(err)
		defer listener.Close()
		return listener.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- operator.Run(ctx, operator.Options{
			Config: plane.Config, Namespace: "default", HTTPAddr: address(), MetricsAddr: "0", ArtifactAddr: address(),
			DataDir: filepath.Join(b.TempDir(), "data"), Concurrent: 4, Log: slog.New(slog.DiscardHandler),
		})
	}()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("the operator: %v", err)
		}
	})
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) soon(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not in time", what)
		}
	}
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "default", Name: name} }

var hourly = metav1.Duration{Duration: time.Hour}

// apply makes a Kustomization of a source.
func (b *bench) apply(name string, source ksv1.CrossNamespaceSourceReference) {
	b.Helper()
	b.must(b.client.Create(b.Context(), &ksv1.Kustomization{ObjectMeta: named(name), Spec: ksv1.KustomizationSpec{
		Interval: hourly, Path: "./", Prune: true, SourceRef: source,
	}}))
}

// arrives waits until the ConfigMap of a Kustomization says what it is to say.
func (b *bench) arrives(name, value string) {
	b.Helper()
	b.soon("ConfigMap "+name+" with "+value, func() bool {
		found := &corev1.ConfigMap{}
		err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "default", Name: name}, found)
		b.must(client.IgnoreNotFound(err))
		return err == nil && found.Data["value"] == value
	})
}

func configMap(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\n  namespace: default\ndata:\n  value: " + value + "\n"
}

// request asks for a pass now.
func (b *bench) request(obj client.Object) {
	b.Helper()
	b.must(b.client.Patch(b.Context(), obj, client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "`+time.Now().String()+`"}}}`))))
}

func TestSources(t *testing.T) {
	b := newBench(t)
	t.Run("Bucket", func(t *testing.T) { (&bench{t, b.client}).bucket() })
	t.Run("OCIRepository", func(t *testing.T) { (&bench{t, b.client}).registry() })
	t.Run("HelmRepository and HelmChart", func(t *testing.T) { (&bench{t, b.client}).helmRepository() })
	t.Run("ExternalArtifact", func(t *testing.T) { (&bench{t, b.client}).external() })
	t.Run("signed GitRepository with submodule", func(t *testing.T) { (&bench{t, b.client}).signed() })
}

func (b *bench) bucket() {
	store, err := testkit.StartObjectStore()
	b.must(err)
	defer func() { b.must(store.Stop()) }()
	s3, err := minio.New(store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(store.AccessKey, store.SecretKey, "")})
	b.must(err)
	b.must(s3.MakeBucket(b.Context(), "manifests", minio.MakeBucketOptions{}))
	put := func(value string) {
		content := configMap("of-bucket", value)
		_, err := s3.PutObject(b.Context(), "manifests", "cm.yaml", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		b.must(err)
	}
	put("first")
	b.must(b.client.Create(b.Context(), &corev1.Secret{ObjectMeta: named("s3"), StringData: map[string]string{"accesskey": store.AccessKey, "secretkey": store.SecretKey}}))
	obj := &sourcev1.Bucket{ObjectMeta: named("manifests"), Spec: sourcev1.BucketSpec{
		BucketName: "manifests", Endpoint: store.Endpoint, Insecure: true, Interval: hourly, SecretRef: &meta.LocalObjectReference{Name: "s3"},
	}}
	b.must(b.client.Create(b.Context(), obj))
	b.apply("of-bucket", ksv1.CrossNamespaceSourceReference{Kind: "Bucket", Name: "manifests"})
	b.arrives("of-bucket", "first")
	put("second")
	b.request(obj)
	b.arrives("of-bucket", "second")
}

func (b *bench) external() {
	theirs, err := artifact.New(b.TempDir(), "", slog.New(slog.DiscardHandler))
	b.must(err)
	server := httptest.NewServer(theirs)
	defer server.Close()
	obj := &sourcev1.ExternalArtifact{ObjectMeta: named("made-elsewhere")}
	b.must(b.client.Create(b.Context(), obj))
	b.apply("of-external", ksv1.CrossNamespaceSourceReference{Kind: "ExternalArtifact", Name: "made-elsewhere"})
	for _, value := range []string{"first", "second"} {
		stored, err := theirs.Put(b.Context(), artifact.Ref{Kind: "Made", Namespace: "x", Name: "y"}, "v@"+value, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "cm.yaml"), []byte(configMap("of-external", value)), 0o644)
		})
		b.must(err)
		obj.Status.Artifact = stored.Describe(nil)
		obj.Status.Artifact.URL = server.URL + "/" + stored.Path
		b.must(b.client.Status().Update(b.Context(), obj))
		b.arrives("of-external", value)
	}
}

func (b *bench) signed() {
	root := b.TempDir()
	repo, lib := gittest.NewRepo(b, root, "app"), gittest.NewRepo(b, root, "lib")
	server, signer := gittest.NewHTTPServer(b, root, nil), gittest.NewSigner(b)
	commit := lib.Commit("main", "lib", map[string]string{"cm.yaml": configMap("of-submodule", "lib")})
	push := func(value string) {
		repo.Commit("main", value, map[string]string{
			"cm.yaml": configMap("of-git", value), ".gitmodules": "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n",
		})
		index := filepath.Join(root, "index")
		repo.Git("read-tree", "--index-output="+index, "refs/heads/main")
		repo.GitIndex(index, "update-index", "--add", "--cacheinfo", "160000,"+commit+",lib")
		repo.CommitTree("main", value, repo.GitIndex(index, "write-tree"))
	}
	push("first")
	good := signer.Commit(repo, "main")
	b.must(b.client.Create(b.Context(), &corev1.Secret{ObjectMeta: named("signers"), Data: map[string][]byte{"ada.sshpub": signer.Public}}))
	obj := &sourcev1.GitRepository{ObjectMeta: named("signed"), Spec: sourcev1.GitRepositorySpec{
		URL: server.URL + "/app.git", Interval: hourly, Reference: &sourcev1.GitRepositoryRef{Branch: "main"}, RecurseSubmodules: true,
		Verification: &sourcev1.GitRepositoryVerification{SecretRef: meta.LocalObjectReference{Name: "signers"}},
	}}
	b.must(b.client.Create(b.Context(), obj))
	b.apply("of-git", ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "signed"})
	b.arrives("of-git", "first")
	b.arrives("of-submodule", "lib")

	push("unsigned")
	b.request(obj)
	b.soon("the unsigned commit is refused", func() bool {
		b.must(b.client.Get(b.Context(), client.ObjectKeyFromObject(obj), obj))
		for _, c := range obj.Status.Conditions {
			if c.Type == "SourceVerified" && c.Status == metav1.ConditionFalse {
				return strings.HasSuffix(obj.Status.Artifact.Revision, good)
			}
		}
		return false
	})
	b.arrives("of-git", "first")
	push("second")
	signer.Commit(repo, "main")
	b.request(obj)
	b.arrives("of-git", "second")
}
