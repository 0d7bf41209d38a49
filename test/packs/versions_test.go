package packs_test

import (
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/git/gittest"
)

// TestConstraints installs by every form of constraint that the documents show.
func TestConstraints(t *testing.T) {
	start(t)
	ns := namespace(t, "forms")
	f := newForge(t)
	for _, version := range []string{"0.3.0", "0.3.1", "0.3.9", "0.4.0", "0.9.0", "1.0.0"} {
		f.offer(t, "note", version, map[string]string{"note.yaml": note})
	}
	f.follow(t, ns)
	for constraint, want := range map[string]string{"~=0.3.1": "0.3.9", "~=0.3": "0.9.0", "0.3.1": "0.3.1", "v0.4.0": "0.4.0", "": "1.0.0"} {
		name := "c" + strings.NewReplacer("~=", "x", ".", "-").Replace(constraint)
		manifest := strings.Replace(strings.Replace(notePack, "~=1.0.0", "'"+constraint+"'", 1), "{name: note}", "{name: "+name+"}", 1)
		obj := until(t, create(t, ns, manifest), "applied", applied)
		if obj.Status.ResolvedVersion != want {
			t.Errorf("%q installs %s, want %s", constraint, obj.Status.ResolvedVersion, want)
		}
	}
}

// TestWithdrawn takes the installed version out of the repository.
func TestWithdrawn(t *testing.T) {
	start(t)
	ns := namespace(t, "withdrawn")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, strings.Replace(notePack, "spec:", "spec:\n  autoUpgrade: true", 1)), "applied", applied)
	f.withdraw("note", "1.0.2")
	obj = until(t, obj, "the version is gone, and the Pack is left alone", func(p *packv1.Pack) bool {
		return strings.Contains(readyMessage(p), "version 1.0.2 is not in PackRepository/"+ns+"/forge any more")
	})
	if obj.Status.Phase != packv1.PackApplied || obj.Status.ResolvedVersion != "1.0.2" || !strings.HasPrefix(readyMessage(obj), "True") {
		t.Errorf("the status is %+v", obj.Status)
	}
	// Nothing takes a Pack back to an older version by itself.
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(`{"text":"changed"}`)} })
	obj = until(t, obj, "a change needs a chart", func(p *packv1.Pack) bool { return p.Status.Phase == packv1.PackInvalid })
	if !strings.Contains(obj.Status.LastError, "1.0.1 is older: name it in spec.chart.version") || data(t, ns)["chart"] != "1.0.2" {
		t.Errorf("the error is %q, data %v", obj.Status.LastError, data(t, ns))
	}
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Chart.Version = new("1.0.1") })
	until(t, obj, "the older version on request", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.1" })
	f.offer(t, "note", "1.0.3", map[string]string{"note.yaml": note})
	edit(t, obj, func(p *packv1.Pack) { p.Spec.Chart.Version = new("~=1.0.0") })
	until(t, obj, "the newer version", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.3" })
}

// TestOutageOverARestart starts the controllers while the repository of an installed Pack is down.
func TestOutageOverARestart(t *testing.T) {
	first := start(t)
	ns := namespace(t, "offline")
	f := newForge(t)
	f.offer(t, "note", "1.0.1", map[string]string{"note.yaml": note})
	f.follow(t, ns)
	obj := until(t, create(t, ns, notePack), "applied", func(p *packv1.Pack) bool { return strings.HasPrefix(readyMessage(p), "True") })
	first.stop()
	f.setDown(true)
	start(t)
	obj = until(t, obj, "the outage is said", func(p *packv1.Pack) bool { return strings.Contains(readyMessage(p), "cannot be read") })
	if obj.Status.Phase != packv1.PackApplied || !strings.HasPrefix(readyMessage(obj), "True") || obj.Status.LastError != "" {
		t.Errorf("phase %s, ready: %s, error %q", obj.Status.Phase, readyMessage(obj), obj.Status.LastError)
	}
	f.offer(t, "note", "1.0.2", map[string]string{"note.yaml": note})
	f.setDown(false)
	until(t, obj, "the newer version is seen", func(p *packv1.Pack) bool { return p.Status.NewestVersion == "1.0.2" && applied(p) })
}

func TestGitRepository(t *testing.T) {
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "charts")
	server := gittest.NewHTTPServer(t, root, nil)
	commit := func(version string) {
		repo.Commit("main", version, map[string]string{
			"charts/note/Chart.yaml": "apiVersion: v2\nname: note\nversion: " + version + "\n", "charts/note/templates/note.yaml": note,
		})
	}
	commit("1.0.1")
	start(t)
	ns := namespace(t, "git")
	repository := &packv1.PackRepository{}
	repository.Namespace, repository.Name = ns, "forge"
	repository.Spec = packv1.PackRepositorySpec{URL: server.URL + "/charts.git", Git: &packv1.PackRepositoryGit{Path: "charts"}, Interval: duration(300 * time.Millisecond)}
	check(t, shared.client.Create(t.Context(), repository))
	obj := until(t, create(t, ns, strings.Replace(notePack, "spec:", "spec:\n  autoUpgrade: true", 1)), "applied", applied)
	commit("1.0.2")
	until(t, obj, "the next commit installs itself", func(p *packv1.Pack) bool { return applied(p) && p.Status.ResolvedVersion == "1.0.2" })
	check(t, shared.client.Get(t.Context(), client.ObjectKeyFromObject(repository), repository))
	if repository.Status.Charts == nil || *repository.Status.Charts != 1 {
		t.Errorf("the repository's status is %+v", repository.Status)
	}
}
