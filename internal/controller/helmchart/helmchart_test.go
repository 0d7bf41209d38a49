package helmchart

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/registry"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/testkit/bench"
)

func TestFromAnIndex(t *testing.T) {
	b := newRig(t)
	b.create("web", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.Version = "1.x" })
	obj, _ := b.Pass("web")
	bench.Equal(t, bench.States(obj)["Ready"], "False SourceUnavailable")
	b.publish("1.0.0", "1.2.0", "1.3.0-rc.1", "2.0.0")
	obj = b.MustBeReady("web")
	bench.Equal(t, bench.States(obj), map[string]string{"Ready": "True ChartPullSucceeded", "ArtifactInStorage": "True ChartPullSucceeded"})
	bench.Equal(t, bench.Message(obj), "pulled 'web' chart with version '1.2.0'")
	found, _ := b.Store.Get(refOf(obj))
	bench.Equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: "1.2.0", Size: &found.Size, Path: "helmchart/default/web/web-1.2.0.tgz",
		URL: "http://peyk.test/helmchart/default/web/web-1.2.0.tgz", LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
	})
	bench.Equal(t, obj.Status.ObservedChartName, "web")
	if !strings.HasPrefix(obj.Status.ObservedSourceArtifactRevision, "sha256:") {
		t.Error(obj.Status.ObservedSourceArtifactRevision)
	}
	bench.Equal(t, b.asked, []string{"/web-1.2.0.tgz"})

	// Nothing is asked for again, by it or by another chart of the same version.
	b.Pass("web")
	b.create("other", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.Version = "1.2.0" })
	b.MustBeReady("other")
	bench.Equal(t, b.asked, []string{"/web-1.2.0.tgz"})

	b.publish("1.0.0", "1.2.0", "1.4.0")
	bench.Equal(t, b.MustBeReady("web").Status.Artifact.Revision, "1.4.0")

	b.update("web", func(s *sourcev1.HelmChartSpec) { s.Version = "9.x" })
	obj, result := b.Pass("web")
	bench.Equal(t, bench.States(obj)["FetchFailed"], "True InvalidChartReference")
	bench.Equal(t, bench.States(obj)["Stalled"], "True InvalidChartReference")
	bench.Equal(t, result.RequeueAfter, time.Duration(0))
	bench.Equal(t, obj.Status.Artifact.Revision, "1.4.0")
}

func TestValuesFilesOfARepository(t *testing.T) {
	b := newRig(t)
	b.publish("1.0.0")
	b.create("web", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"values.yaml", "./prod.yaml"} })
	obj := b.MustBeReady("web")
	bench.Equal(t, obj.Status.Artifact.Revision, "1.0.0+1")
	bench.Equal(t, bench.States(obj)["Ready"], "True ChartPackageSucceeded")
	bench.Equal(t, bench.Message(obj), "packaged 'web' chart with version '1.0.0+1' and merged values files [values.yaml ./prod.yaml]")
	files := b.unpack(obj)
	bench.Equal(t, files["web/values.yaml"], "a: 1\nb:\n  c: 2\n  d: 3\n")
	if !strings.Contains(files["web/Chart.yaml"], "version: 1.0.0+1\n") {
		t.Error(files["web/Chart.yaml"])
	}
	before := obj.Status.Artifact
	bench.Equal(t, b.MustBeReady("web").Status.Artifact, before)

	b.update("web", func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"prod.yaml", "../../missing.yaml"} })
	obj, _ = b.Pass("web")
	bench.Equal(t, bench.States(obj)["BuildFailed"], "True ValuesFilesError")
	bench.Equal(t, bench.States(obj)["Stalled"], "True ValuesFilesError")
	b.update("web", func(s *sourcev1.HelmChartSpec) { s.IgnoreMissingValuesFiles = true })
	obj = b.MustBeReady("web")
	bench.Equal(t, obj.Status.Artifact.Revision, "1.0.0+3")
	bench.Equal(t, obj.Status.ObservedValuesFiles, []string{"prod.yaml"})
	bench.Equal(t, b.unpack(obj)["web/values.yaml"], "b:\n  d: 3\n")

	// values.yaml alone changes nothing.
	b.create("plain", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"values.yaml"} })
	bench.Equal(t, b.MustBeReady("plain").Status.Artifact.Revision, "1.0.0")
}

func TestSuspendedIsLeftAlone(t *testing.T) {
	b := newRig(t)
	b.publish("1.0.0")
	b.create("web", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.Suspend = true })
	obj, _ := b.Pass("web")
	bench.Equal(t, len(obj.Status.Conditions), 0)
	b.update("web", func(s *sourcev1.HelmChartSpec) { s.Suspend = false })
	bench.Equal(t, b.MustBeReady("web").Status.Artifact.Revision, "1.0.0")
}

func TestFromGit(t *testing.T) {
	b := newRig(t)
	tree := map[string]string{
		"charts/web/Chart.yaml": chartYAML("web", "0.1.0"), "charts/web/values.yaml": "a: 1\n", "charts/web/templates/x.yaml": "x: 1\n",
		"env/prod.yaml": "a: 2\n", "charts/web/.helmignore": "secret\n", "charts/web/secret": "x",
	}
	b.commit("main@sha1:0123456789abcdef0123456789abcdef01234567", tree)
	b.create("web", "GitRepository", "git", func(s *sourcev1.HelmChartSpec) { s.Chart = "./charts/web" })
	obj := b.MustBeReady("web")
	bench.Equal(t, obj.Status.Artifact.Revision, "0.1.0")
	bench.Equal(t, bench.States(obj)["Ready"], "True ChartPackageSucceeded")
	bench.Equal(t, obj.Status.ObservedSourceArtifactRevision, "main@sha1:0123456789abcdef0123456789abcdef01234567")
	files := b.unpack(obj)
	if files["web/values.yaml"] != "a: 1\n" || files["web/secret"] != "" {
		t.Errorf("%v", files)
	}
	first := obj.Status.Artifact.Digest

	// By version, another commit is no other chart.
	tree["charts/web/templates/x.yaml"] = "x: 2\n"
	b.commit("main@sha1:1123456789abcdef0123456789abcdef01234567", tree)
	bench.Equal(t, b.MustBeReady("web").Status.Artifact.Digest, first)

	b.update("web", func(s *sourcev1.HelmChartSpec) {
		s.ReconcileStrategy, s.ValuesFiles = "Revision", []string{"env/prod.yaml"}
	})
	obj = b.MustBeReady("web")
	bench.Equal(t, obj.Status.Artifact.Revision, "0.1.0+1123456789ab.2")
	bench.Equal(t, b.unpack(obj)["web/values.yaml"], "a: 2\n")
	b.commit("main@sha1:2123456789abcdef0123456789abcdef01234567", tree)
	bench.Equal(t, b.MustBeReady("web").Status.Artifact.Revision, "0.1.0+2123456789ab.2")

	// Equal charts are equal to the byte.
	b.create("again", "GitRepository", "git", func(s *sourcev1.HelmChartSpec) {
		s.Chart, s.ReconcileStrategy, s.ValuesFiles = "charts/web", "Revision", []string{"env/prod.yaml"}
	})
	b.update("again", func(*sourcev1.HelmChartSpec) {})
	bench.Equal(t, b.MustBeReady("again").Status.Artifact.Digest, b.Get("web").Status.Artifact.Digest)
}

func TestDependencies(t *testing.T) {
	b := newRig(t)
	b.publish("1.0.0", "1.1.0")
	push, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	ociChart := bench.Tarball(t, "cache/", map[string]string{"Chart.yaml": chartYAML("cache", "3.1.0")})
	if _, err := push.Push(ociChart, b.registry+"/charts/cache:3.1.0"); err != nil {
		t.Fatal(err)
	}
	for _, obj := range []client.Object{
		&sourcev1.HelmRepository{ObjectMeta: metav1.ObjectMeta{Name: "oci", Namespace: "default"},
			Spec: sourcev1.HelmRepositorySpec{URL: "oci://" + b.registry + "/charts", Type: "oci", Insecure: true}},
	} {
		if err := b.Client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	b.served["/anonymous/index.yaml"] = []byte("apiVersion: v1\nentries:\n  web:\n  - version: 1.0.0\n    urls: [../web-1.0.0.tgz]\n")
	parent := chartYAML("parent", "0.1.0") + "dependencies:\n" +
		"- {name: web, version: 1.x, repository: " + b.url + "/}\n" +
		"- {name: web, alias: old, version: 1.0.0, repository: " + b.url + "/anonymous}\n" +
		"- {name: cache, version: 3.x, repository: \"oci://" + b.registry + "/charts\"}\n" +
		"- {name: sibling, version: \">=0.1\", repository: file://../sibling}\n" +
		"- {name: vendored, version: 0.2.0}\n"
	tree := map[string]string{
		"a/parent/Chart.yaml": parent, "a/sibling/Chart.yaml": chartYAML("sibling", "0.3.0"),
		"a/parent/charts/vendored/Chart.yaml": chartYAML("vendored", "0.2.0"),
	}
	b.commit("main@sha1:aaaa", tree)
	b.create("parent", "GitRepository", "git", func(s *sourcev1.HelmChartSpec) { s.Chart = "a/parent" })
	obj := b.MustBeReady("parent")
	var charts []string
	for name, text := range b.unpack(obj) {
		if strings.HasSuffix(name, "/Chart.yaml") {
			_, version, _ := strings.Cut(text, "version: ")
			charts = append(charts, name+" "+strings.Split(version, "\n")[0])
		}
	}
	slices.Sort(charts)
	want := []string{
		"parent/Chart.yaml 1.x", "parent/charts/cache/Chart.yaml 3.1.0", "parent/charts/old/Chart.yaml 1.0.0",
		"parent/charts/sibling/Chart.yaml 0.3.0", "parent/charts/vendored/Chart.yaml 0.2.0", "parent/charts/web/Chart.yaml 1.1.0",
	}
	// Chart.yaml of the parent names the versions of its dependencies first.
	if diff := cmp.Diff(want[1:], charts[1:]); diff != "" || len(charts) != len(want) {
		t.Errorf("%s\n%v", diff, charts)
	}

	for i, wrong := range []string{
		"{name: x, version: 1.x, repository: \"@team\"}", "{name: x, version: 1.x, repository: \"git://x\"}",
		"{name: x, version: 1.x, repository: file://../nope}", "{name: sibling, version: 9.x, repository: file://../sibling}",
		"{name: x, version: 1.x, repository: file://../../../../../etc}", "{name: nope, version: 1.x, repository: " + b.url + "}",
	} {
		tree["a/parent/Chart.yaml"] = chartYAML("parent", "0.1.0") + "dependencies:\n- " + wrong + "\n"
		b.commit(fmt.Sprint("main@sha1:bbb", i), tree)
		name := fmt.Sprint("wrong", i)
		b.create(name, "GitRepository", "git", func(s *sourcev1.HelmChartSpec) { s.Chart = "a/parent" })
		obj, _ := b.Pass(name)
		if bench.States(obj)["BuildFailed"] != "True DependencyBuildError" {
			t.Errorf("%s: %v: %s", wrong, bench.States(obj), bench.Message(obj))
		}
	}
}

func TestFromARegistry(t *testing.T) {
	b := newRig(t)
	push, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "1.1.0+b1"} {
		data := bench.Tarball(t, "web/", map[string]string{"Chart.yaml": chartYAML("web", version)})
		if _, err := push.Push(data, b.registry+"/charts/web:"+strings.ReplaceAll(version, "+", "_"), registry.PushOptStrictMode(false)); err != nil {
			t.Fatal(err)
		}
	}
	repository := &sourcev1.HelmRepository{ObjectMeta: metav1.ObjectMeta{Name: "oci", Namespace: "default"},
		Spec: sourcev1.HelmRepositorySpec{URL: "oci://" + b.registry + "/charts", Type: "oci"}}
	if err := b.Client.Create(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	b.create("web", "HelmRepository", "oci", func(s *sourcev1.HelmChartSpec) { s.Version = "1.x" })
	if obj, _ := b.Pass("web"); !strings.Contains(bench.Message(obj), "spec.insecure") {
		t.Error(bench.Message(obj))
	}
	repository.Spec.Insecure = true
	if err := b.Client.Update(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	bench.Equal(t, b.MustBeReady("web").Status.Artifact.Revision, "1.1.0+b1")
	b.create("exact", "HelmRepository", "oci", func(s *sourcev1.HelmChartSpec) { s.Version = "1.0.0" })
	bench.Equal(t, b.MustBeReady("exact").Status.Artifact.Revision, "1.0.0")
	b.asked = nil
	b.MustBeReady("exact")
	bench.Equal(t, b.asked, []string(nil))

	b.create("unsigned", "HelmRepository", "oci", func(s *sourcev1.HelmChartSpec) {
		s.Version, s.Verify = "1.0.0", &sourcev1.HelmChartVerification{
			Provider: "cosign", MatchOIDCIdentity: []sourcev1.OIDCIdentityMatch{{Issuer: ".*", Subject: ".*"}},
		}
	})
	obj, _ := b.Pass("unsigned")
	bench.Equal(t, bench.States(obj)["BuildFailed"], "True ChartVerificationError")
	if !strings.Contains(bench.Message(obj), "keyless") {
		t.Error(bench.Message(obj))
	}
	bench.Equal(t, obj.Status.Artifact, (*meta.Artifact)(nil))
}

func TestHostileTrees(t *testing.T) {
	b := newRig(t)
	b.commit("main@sha1:aaaa", map[string]string{
		"small/Chart.yaml": chartYAML("small", "0.1.0"), "small/values.yaml": "", "big/Chart.yaml": chartYAML("big", "0.1.0"), "big/blob": strings.Repeat("x", 5<<20+1),
		"bad/Chart.yaml": "name: [", "version/Chart.yaml": chartYAML("version", "x"), "path/Chart.yaml": chartYAML("../path", "1.0.0"),
	})
	for i, tt := range []struct {
		chart, values, condition string
	}{
		{"nope", "", "FetchFailed InvalidChartReference"},
		{"../../../../etc", "", "FetchFailed InvalidChartReference"},
		{"bad", "", "FetchFailed InvalidChartReference"},
		{"version", "", "FetchFailed InvalidChartReference"},
		{"path", "", "FetchFailed InvalidChartReference"},
		{"big", "", "BuildFailed ChartPackageError"},
		{"small", "../../../../../etc/passwd", "BuildFailed ValuesFilesError"},
		{"small", "big", "BuildFailed ValuesFilesError"},
		{"small", "big/blob", "BuildFailed ValuesFilesError"},
	} {
		name := fmt.Sprint("chart", i)
		b.create(name, "GitRepository", "git", func(s *sourcev1.HelmChartSpec) {
			s.Chart = tt.chart
			if tt.values != "" {
				s.ValuesFiles = []string{tt.values}
			}
		})
		obj, _ := b.Pass(name)
		condition, reason, _ := strings.Cut(tt.condition, " ")
		if bench.States(obj)[condition] != "True "+reason || obj.Status.Artifact != nil {
			t.Errorf("%s %s: %v: %s", tt.chart, tt.values, bench.States(obj), bench.Message(obj))
		}
	}
}
