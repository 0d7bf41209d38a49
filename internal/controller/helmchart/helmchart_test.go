package helmchart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/registry"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestFromAnIndex(t *testing.T) {
	b := newBench(t)
	b.create("web", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.Version = "1.x" })
	obj, _ := b.pass("web")
	equal(t, states(obj)["Ready"], "False SourceUnavailable")
	b.publish("1.0.0", "1.2.0", "1.3.0-rc.1", "2.0.0")
	obj = b.mustBeReady("web")
	equal(t, states(obj), map[string]string{"Ready": "True ChartPullSucceeded", "ArtifactInStorage": "True ChartPullSucceeded"})
	equal(t, message(obj), "pulled 'web' chart with version '1.2.0'")
	found, _ := b.store.Get(refOf(obj))
	equal(t, obj.Status.Artifact, &meta.Artifact{
		Digest: found.Digest, Revision: "1.2.0", Size: &found.Size, Path: "helmchart/default/web/web-1.2.0.tgz",
		URL: "http://peyk.test/helmchart/default/web/web-1.2.0.tgz", LastUpdateTime: obj.Status.Artifact.LastUpdateTime,
	})
	equal(t, obj.Status.ObservedChartName, "web")
	if !strings.HasPrefix(obj.Status.ObservedSourceArtifactRevision, "sha256:") {
		t.Error(obj.Status.ObservedSourceArtifactRevision)
	}
	equal(t, b.asked, []string{"/web-1.2.0.tgz"})

	// Nothing is asked for again, by it or by another chart of the same version.
	b.pass("web")
	b.create("other", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.Version = "1.2.0" })
	b.mustBeReady("other")
	equal(t, b.asked, []string{"/web-1.2.0.tgz"})

	b.publish("1.0.0", "1.2.0", "1.4.0")
	equal(t, b.mustBeReady("web").Status.Artifact.Revision, "1.4.0")

	b.update("web", func(s *sourcev1.HelmChartSpec) { s.Version = "9.x" })
	obj, result := b.pass("web")
	equal(t, states(obj)["FetchFailed"], "True InvalidChartReference")
	equal(t, states(obj)["Stalled"], "True InvalidChartReference")
	equal(t, result, ctrl.Result{})
	equal(t, obj.Status.Artifact.Revision, "1.4.0")
}

func TestValuesFilesOfARepository(t *testing.T) {
	b := newBench(t)
	b.publish("1.0.0")
	b.create("web", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"values.yaml", "./prod.yaml"} })
	obj := b.mustBeReady("web")
	equal(t, obj.Status.Artifact.Revision, "1.0.0+1")
	equal(t, states(obj)["Ready"], "True ChartPackageSucceeded")
	equal(t, message(obj), "packaged 'web' chart with version '1.0.0+1' and merged values files [values.yaml ./prod.yaml]")
	files := b.unpack(obj)
	equal(t, files["web/values.yaml"], "a: 1\nb:\n  c: 2\n  d: 3\n")
	if !strings.Contains(files["web/Chart.yaml"], "version: 1.0.0+1\n") {
		t.Error(files["web/Chart.yaml"])
	}
	before := obj.Status.Artifact
	equal(t, b.mustBeReady("web").Status.Artifact, before)

	b.update("web", func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"prod.yaml", "../../missing.yaml"} })
	obj, _ = b.pass("web")
	equal(t, states(obj)["BuildFailed"], "True ValuesFilesError")
	equal(t, states(obj)["Stalled"], "True ValuesFilesError")
	b.update("web", func(s *sourcev1.HelmChartSpec) { s.IgnoreMissingValuesFiles = true })
	obj = b.mustBeReady("web")
	equal(t, obj.Status.Artifact.Revision, "1.0.0+3")
	equal(t, obj.Status.ObservedValuesFiles, []string{"prod.yaml"})
	equal(t, b.unpack(obj)["web/values.yaml"], "b:\n  d: 3\n")

	// values.yaml alone changes nothing.
	b.create("plain", "HelmRepository", "charts", func(s *sourcev1.HelmChartSpec) { s.ValuesFiles = []string{"values.yaml"} })
	equal(t, b.mustBeReady("plain").Status.Artifact.Revision, "1.0.0")
}

func TestFromGit(t *testing.T) {
	b := newBench(t)
	tree := map[string]string{
		"charts/web/Chart.yaml": chartYAML("web", "0.1.0"), "charts/web/values.yaml": "a: 1\n", "charts/web/templates/x.yaml": "x: 1\n",
		"env/prod.yaml": "a: 2\n", "charts/web/.helmignore": "secret\n", "charts/web/secret": "x",
	}
	b.commit("main@sha1:0123456789abcdef0123456789abcdef01234567", tree)
	b.create("web", "GitRepository", "git", func(s *sourcev1.HelmChartSpec) { s.Chart = "./charts/web" })
	obj := b.mustBeReady("web")
	equal(t, obj.Status.Artifact.Revision, "0.1.0")
	equal(t, states(obj)["Ready"], "True ChartPackageSucceeded")
	equal(t, obj.Status.ObservedSourceArtifactRevision, "main@sha1:0123456789abcdef0123456789abcdef01234567")
	files := b.unpack(obj)
	if files["web/values.yaml"] != "a: 1\n" || files["web/secret"] != "" {
		t.Errorf("%v", files)
	}
	first := obj.Status.Artifact.Digest

	// By version, another commit is no other chart.
	tree["charts/web/templates/x.yaml"] = "x: 2\n"
	b.commit("main@sha1:1123456789abcdef0123456789abcdef01234567", tree)
	equal(t, b.mustBeReady("web").Status.Artifact.Digest, first)

	b.update("web", func(s *sourcev1.HelmChartSpec) {
		s.ReconcileStrategy, s.ValuesFiles = "Revision", []string{"env/prod.yaml"}
	})
	obj = b.mustBeReady("web")
	equal(t, obj.Status.Artifact.Revision, "0.1.0+1123456789ab.2")
	equal(t, b.unpack(obj)["web/values.yaml"], "a: 2\n")
	b.commit("main@sha1:2123456789abcdef0123456789abcdef01234567", tree)
	equal(t, b.mustBeReady("web").Status.Artifact.Revision, "0.1.0+2123456789ab.2")

	// Equal charts are equal to the byte.
	b.create("again", "GitRepository", "git", func(s *sourcev1.HelmChartSpec) {
		s.Chart, s.ReconcileStrategy, s.ValuesFiles = "charts/web", "Revision", []string{"env/prod.yaml"}
	})
	b.update("again", func(*sourcev1.HelmChartSpec) {})
	equal(t, b.mustBeReady("again").Status.Artifact.Digest, b.get("web").Status.Artifact.Digest)
}

func TestDependencies(t *testing.T) {
	b := newBench(t)
	b.publish("1.0.0", "1.1.0")
	push, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	ociChart := archive(t, "cache", map[string]string{"Chart.yaml": chartYAML("cache", "3.1.0")})
	if _, err := push.Push(ociChart, b.registry+"/charts/cache:3.1.0"); err != nil {
		t.Fatal(err)
	}
	for _, obj := range []client.Object{
		&sourcev1.HelmRepository{ObjectMeta: metav1.ObjectMeta{Name: "oci", Namespace: "default"},
			Spec: sourcev1.HelmRepositorySpec{URL: "oci://" + b.registry + "/charts", Type: "oci", Insecure: true}},
	} {
		if err := b.client.Create(t.Context(), obj); err != nil {
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
	obj := b.mustBeReady("parent")
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
		obj, _ := b.pass(name)
		if states(obj)["BuildFailed"] != "True DependencyBuildError" {
			t.Errorf("%s: %v: %s", wrong, states(obj), message(obj))
		}
	}
}

func TestFromARegistry(t *testing.T) {
	b := newBench(t)
	push, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "1.1.0+b1"} {
		data := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", version)})
		if _, err := push.Push(data, b.registry+"/charts/web:"+strings.ReplaceAll(version, "+", "_"), registry.PushOptStrictMode(false)); err != nil {
			t.Fatal(err)
		}
	}
	repository := &sourcev1.HelmRepository{ObjectMeta: metav1.ObjectMeta{Name: "oci", Namespace: "default"},
		Spec: sourcev1.HelmRepositorySpec{URL: "oci://" + b.registry + "/charts", Type: "oci"}}
	if err := b.client.Create(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	b.create("web", "HelmRepository", "oci", func(s *sourcev1.HelmChartSpec) { s.Version = "1.x" })
	if obj, _ := b.pass("web"); !strings.Contains(message(obj), "spec.insecure") {
		t.Error(message(obj))
	}
	repository.Spec.Insecure = true
	if err := b.client.Update(t.Context(), repository); err != nil {
		t.Fatal(err)
	}
	equal(t, b.mustBeReady("web").Status.Artifact.Revision, "1.1.0+b1")
	b.create("exact", "HelmRepository", "oci", func(s *sourcev1.HelmChartSpec) { s.Version = "1.0.0" })
	equal(t, b.mustBeReady("exact").Status.Artifact.Revision, "1.0.0")
	b.asked = nil
	b.mustBeReady("exact")
	equal(t, b.asked, []string(nil))

	b.create("unsigned", "HelmRepository", "oci", func(s *sourcev1.HelmChartSpec) {
		s.Version, s.Verify = "1.0.0", &sourcev1.HelmChartVerification{Provider: "cosign"}
	})
	obj, _ := b.pass("unsigned")
	equal(t, states(obj)["BuildFailed"], "True ChartVerificationError")
	equal(t, obj.Status.Artifact, (*meta.Artifact)(nil))
}

func TestHostileTrees(t *testing.T) {
	b := newBench(t)
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
		obj, _ := b.pass(name)
		condition, reason, _ := strings.Cut(tt.condition, " ")
		if states(obj)[condition] != "True "+reason || obj.Status.Artifact != nil {
			t.Errorf("%s %s: %v: %s", tt.chart, tt.values, states(obj), message(obj))
		}
	}
}
