package helm

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

// gitStore is a Store with mirrors, and a Git server with the repository charts.
func gitStore(t *testing.T) (*Store, *gittest.Repo, Repository) {
	t.Helper()
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "charts")
	server := gittest.NewHTTPServer(t, root, nil)
	mirrors, err := git.NewMirrors(t.TempDir(), git.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, nil)
	store.UseGit(mirrors)
	return store, repo, Repository{URL: server.URL + "/charts.git", Git: &GitSource{}}
}

func versionsIn(index *Index) map[string][]string {
	found := map[string][]string{}
	for name := range index.Charts {
		found[name] = index.Versions(name)
	}
	return found
}

func gitIndex(t *testing.T, store *Store, r Repository, previous *Index) *Index {
	t.Helper()
	index, err := store.Index(t.Context(), r, nil, previous)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestGitBranch(t *testing.T) {
	store, repo, r := gitStore(t)
	files := map[string]string{
		"README.md": "no chart", "charts/web/Chart.yaml": chartYAML("web", "1.0.0"), "charts/web/templates/cm.yaml": "kind: ConfigMap",
		"charts/broken/Chart.yaml": "name: broken", "charts/db/Chart.yaml": chartYAML("db", "0.1.0"),
		"charts/app/Chart.yaml": chartYAML("app", "2.0.0") + "dependencies: [{name: db, version: 0.1.0, repository: 'file://../db'}]\n",
	}
	repo.Commit("main", "first", files)
	r.Git.Path = "charts"
	first := gitIndex(t, store, r, nil)
	want := map[string][]string{"web": {"1.0.0"}, "db": {"0.1.0"}, "app": {"2.0.0"}}
	if diff := cmp.Diff(want, versionsIn(first)); diff != "" {
		t.Errorf("the charts (-want +got):\n%s", diff)
	}
	if again := gitIndex(t, store, r, first); again != first {
		t.Error("an unchanged branch gives another index")
	}
	app, _ := first.Find("app", "2.0.0")
	chart, err := store.Chart(t.Context(), r, app)
	if err != nil {
		t.Fatal(err)
	}
	if loaded, err := chart.load(); err != nil || len(loaded.Dependencies()) != 1 {
		t.Errorf("the chart has not the dependency beside it: %v", err)
	}
	web, _ := first.Find("web", "1.0.0")
	before, err := store.Chart(t.Context(), r, web)
	if err != nil {
		t.Fatal(err)
	}

	// A commit that does not touch the chart leaves its bytes alone, another one does not.
	files["README.md"] = "still no chart"
	repo.Commit("main", "second", files)
	second := gitIndex(t, store, r, first)
	web, _ = second.Find("web", "1.0.0")
	same, err := store.Chart(t.Context(), r, web)
	if err != nil || same.Digest != before.Digest {
		t.Errorf("the chart changed from %s to %v, %v", before.Digest, same, err)
	}
	files["charts/web/Chart.yaml"] = chartYAML("web", "1.1.0")
	repo.Commit("main", "third", files)
	if got := gitIndex(t, store, r, second).Versions("web"); !cmp.Equal(got, []string{"1.1.0"}) {
		t.Errorf("the branch has the versions %v", got)
	}
}

func TestGitTags(t *testing.T) {
	store, repo, r := gitStore(t)
	at := func(version string, tags ...string) {
		commit := repo.Commit("main", version, map[string]string{
			"web/Chart.yaml": chartYAML("web", version), "db/Chart.yaml": chartYAML("db", "9.0.0"), "web/values.yaml": "at: " + version,
		})
		for _, tag := range tags {
			repo.Git("tag", tag, commit)
		}
	}
	at("1.0.0", "v1.0.0", "nonsense", "v0.9")
	at("1.1.0", "web-1.1.0")
	at("2.0.0", "v2.0.0")
	at("3.0.0-rc.1", "v3.0.0-rc.1")
	r.Git.Tags = ">=1.0.0 <3.0.0"
	index := gitIndex(t, store, r, nil)
	if diff := cmp.Diff(map[string][]string{"web": {"2.0.0", "1.1.0", "1.0.0"}, "db": {"9.0.0"}}, versionsIn(index)); diff != "" {
		t.Errorf("the charts (-want +got):\n%s", diff)
	}
	old, _ := index.Find("web", "1.0.0")
	chart, err := store.Chart(t.Context(), r, old)
	if err != nil {
		t.Fatal(err)
	}
	if loaded, err := chart.load(); err != nil || loaded.Values["at"] != "1.0.0" {
		t.Errorf("version 1.0.0 has the values %v, %v", loaded.Values, err)
	}
}

func TestGitRefused(t *testing.T) {
	store, repo, r := gitStore(t)
	repo.Commit("main", "first", map[string]string{
		"web/Chart.yaml": chartYAML("web", "1.0.0") + "dependencies: [{name: far, version: 1.0.0, repository: 'https://far.example'}]\n",
		"up/Chart.yaml":  chartYAML("up", "1.0.0") + "dependencies: [{name: x, version: 1.0.0, repository: 'file://../../../etc'}]\n",
	})
	for name, tt := range map[string]struct {
		change func(*Repository)
		want   string
	}{
		"branch": {func(r *Repository) { r.Git = &GitSource{Branch: "nope"} }, `branch "nope" is not in the repository`},
		"path":   {func(r *Repository) { r.Git = &GitSource{Path: "nope"} }, "nope"},
		"range":  {func(r *Repository) { r.Git = &GitSource{Tags: "newest"} }, "spec.git.tags"},
		"tags":   {func(r *Repository) { r.Git = &GitSource{Tags: ">=1.0.0"} }, "no tag of the repository"},
		"scheme": {func(r *Repository) { r.URL = "oci://registry.example/charts" }, "with spec.git use https://"},
		"no git": {func(r *Repository) { r.URL, r.Git = "ssh://git@git.example/charts.git", nil }, "add spec.git"},
		"verify": {func(r *Repository) { r.Verify = &Verification{} }, "spec.verify"},
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			tt.change(&r)
			if _, err := store.Index(t.Context(), r, nil, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	index := gitIndex(t, store, r, nil)
	for chart, want := range map[string]string{"web": "it needs chart far", "up": "there is no chart"} {
		v, _ := index.Find(chart, "1.0.0")
		_, err := store.Chart(t.Context(), r, v)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), os.TempDir()) {
			t.Errorf("chart %s: got %v, want an error with %q", chart, err, want)
		}
	}
}
