package webhook_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/pack/token"
)

// place is a namespace of Packs that live in one repository.
type place struct {
	namespace, images, url string
	repo                   *gittest.Repo
	packs                  []deployed
}

// deployed is a Pack and what calls its webhook.
type deployed struct{ name, file, path, token string }

// file is a Pack as somebody wrote it. Those that run are few: the cost of a Helm release is not what is tested.
func (p *place) file(name string, runs bool) string {
	return fmt.Sprintf(`# deployed by CI; ask the platform team before you change it
apiVersion: k8s.kubit.ir/v1alpha1
kind: Pack
metadata:
    name: %s   # the release
    namespace: %s
spec:
    suspend: %v
    chart: {name: simplepack, repository: {name: kubit-paas}}
    vars:
        REGION: west
        DOCKER_TAG: first # by CI
    values:
        gonbad:
            volumes: {main: {enabled: false}}
            workloads:
                main:
                    containers:
                        main:
                            image: {repository: %s/app, tag: '{{ vars.DOCKER_TAG }}'}
# the end
`, name, p.namespace, !runs, p.images)
}

// newPlace makes a repository with so many Packs, of which so many run, and waits until the cluster has them and the
// repository of their chart.
func newPlace(t *testing.T, namespace string, count, running int) *place {
	t.Helper()
	root := t.TempDir()
	p := &place{namespace: namespace, images: registry(t), repo: gittest.NewRepo(t, root, "platform")}
	p.repo.Git("config", "http.receivepack", "true")
	p.repo.Git("config", "receive.advertisePushOptions", "true")
	files := map[string]string{"README.md": "the platform\n"}
	for i := range count {
		d := deployed{name: fmt.Sprintf("app-%03d", i)}
		d.file = fmt.Sprintf("packs/team-%d/%s.pack.yaml", i%7, d.name)
		files[d.file] = p.file(d.name, i < running)
		p.packs = append(p.packs, d)
	}
	p.repo.Commit("main", "first", files)
	p.url = gittest.NewHTTPServer(t, root, nil).URL + "/platform.git"
	check(t, world.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	check(t, world.Client.Create(t.Context(), &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "platform"},
		Spec: sourcev1.GitRepositorySpec{
			URL: p.url, Interval: metav1.Duration{Duration: time.Minute}, Reference: &sourcev1.GitRepositoryRef{Branch: "main"},
		},
	}))
	check(t, world.Client.Create(t.Context(), &ksv1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "packs"},
		Spec: ksv1.KustomizationSpec{
			SourceRef: ksv1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "platform"}, Path: "packs", Prune: true,
			Interval: metav1.Duration{Duration: time.Minute},
		},
	}))
	eventually(t, time.Minute, func() error {
		var charts packv1.ClusterPackRepository
		if err := world.Client.Get(t.Context(), client.ObjectKey{Name: "kubit-paas"}, &charts); err != nil {
			return err
		}
		if !apimeta.IsStatusConditionTrue(charts.Status.Conditions, "Ready") {
			return errors.New("the repository of the charts is not ready")
		}
		return nil
	})
	p.issueTokens(t)
	return p
}

// issueTokens waits for the Packs and gives each a token.
func (p *place) issueTokens(t *testing.T) {
	t.Helper()
	var packs packv1.PackList
	eventually(t, 3*time.Minute, func() error {
		if err := world.Client.List(t.Context(), &packs, client.InNamespace(p.namespace)); err != nil {
			return err
		}
		if len(packs.Items) != len(p.packs) {
			return fmt.Errorf("the cluster has %d of %d Packs", len(packs.Items), len(p.packs))
		}
		return nil
	})
	for i := range packs.Items {
		obj := &packs.Items[i]
		secret, err := token.Create(t.Context(), world.Client, obj, token.Wish{})
		check(t, err)
		for j := range p.packs {
			if p.packs[j].name == obj.Name {
				p.packs[j].path, p.packs[j].token = token.Path(obj), secret
			}
		}
	}
}

// tagIn reads the tag out of a file of the branch.
func (p *place) tagIn(t *testing.T, file string) string {
	t.Helper()
	var obj packv1.Pack
	check(t, yaml.Unmarshal([]byte(p.repo.Git("show", "main:"+file)), &obj))
	return strings.Trim(string(obj.Spec.Vars["DOCKER_TAG"].Raw), `"`)
}

// registry has every tag that does not begin with no-.
func registry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, tag, ok := strings.Cut(r.URL.Path, "/manifests/")
		switch {
		case !ok:
			w.WriteHeader(http.StatusOK)
		case strings.HasPrefix(tag, "no-"):
			w.WriteHeader(http.StatusNotFound)
		default:
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Content-Length", "2")
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("c", 64))
			_, _ = w.Write([]byte("{}"))
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
