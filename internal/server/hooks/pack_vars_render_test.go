package hooks

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	ownregistry "github.com/peyk/peyk/internal/registry"
)

func TestUses(t *testing.T) {
	const manifest = `
kind: CronJob
spec:
  jobTemplate:
    spec:
      template:
        spec:
          serviceAccountName: robot
          imagePullSecrets: [{name: one}, {name: two}]
          initContainers: [{name: a, image: registry.example/init:1}]
          containers: [{name: b, image: "registry.example/app:2"}, {name: c, image: "registry.example/app:2"}, {name: d}]
`
	var object map[string]any
	if err := yaml.Unmarshal([]byte(manifest), &object); err != nil {
		t.Fatal(err)
	}
	want := []Use{
		{Reference: "registry.example/app:2", PullSecrets: []string{"one", "two"}, ServiceAccount: "robot"},
		{Reference: "registry.example/init:1", PullSecrets: []string{"one", "two"}, ServiceAccount: "robot"},
	}
	if diff := cmp.Diff(want, uses(object)); diff != "" {
		t.Error(diff)
	}
}

// TestRegistries asks a real registry.
func TestRegistries(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithObjects(
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "default"}, ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}, {Name: "gone"}}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "base", Name: "pull"}, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"` + host + `":{"username":"u","password":"p"}}}`)}},
	).Build()
	r := Registries{Reader: c, Pool: ownregistry.NewPool()}
	if got, err := r.Digest(t.Context(), "base", Use{Reference: host + "/team/app:1"}); err != nil || got != digest.String() {
		t.Errorf("the digest is %s, %v; want %s", got, err, digest)
	}
	for _, missing := range []string{"/team/app:2", "/team/app", "/team/none:1", "/team/app:not a tag"} {
		_, err := r.Digest(t.Context(), "base", Use{Reference: host + missing})
		if absent, ok := errors.AsType[*AbsentError](err); !ok || strings.Contains(absent.Error(), `"p"`) {
			t.Errorf("%s: %v, want that it is not there", missing, err)
		}
	}
	server.Close()
	_, err = r.Digest(t.Context(), "base", Use{Reference: host + "/team/app:1"})
	if _, ok := errors.AsType[*AbsentError](err); ok || err == nil {
		t.Errorf("a registry that is gone: %v", err)
	}
}
