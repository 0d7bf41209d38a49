// Package archtest holds the architecture: which package may import which, and where a heavy library lives.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/peyk/peyk/"

// layers are the rooms from the top of the house to the bottom. A package imports packages of its own layer or of a lower
// one. Within a layer, sideways lists what is allowed to import what.
var layers = []struct {
	name  string
	rooms []string
}{
	{"main", []string{"cmd"}},
	{"cli", []string{"internal/cli"}},
	{"operator", []string{"internal/operator"}},
	{"controllers and server", []string{"internal/controller", "internal/server"}},
	{"engines", []string{
		"internal/apply", "internal/artifact", "internal/bootstrap", "internal/build", "internal/ci", "internal/diff", "internal/install", "internal/job", "internal/notify", "internal/pack", "internal/reconcile",
		"internal/render", "internal/source", "internal/tenancy", "internal/vault", "internal/writeback",
	}},
	{"adapters", []string{"internal/decrypt", "internal/expression", "internal/git", "internal/kube", "internal/registry"}},
	{"api", []string{"api", "charts"}},
}

// homes say which rooms may import a heavy library.
var homes = map[string][]string{
	"helm.sh/helm/v4":                         {"internal/render/helm"},
	"sigs.k8s.io/kustomize":                   {"internal/render/kustomize"},
	"github.com/go-git/go-git":                {"internal/git"},
	"github.com/hiddeco/sshsig":               {"internal/git"},
	"github.com/minio/minio-go":               {"internal/source/bucket"},
	"github.com/google/go-containerregistry":  {"internal/build", "internal/registry"},
	"github.com/spf13/cobra":                  {"internal/cli", "cmd"},
	"github.com/google/cel-go":                {"internal/expression"},
	"github.com/getsops/sops/v3":              {"internal/decrypt"},
	"filippo.io/age":                          {"internal/decrypt"},
	"github.com/coreos/go-oidc/v3":            {"internal/server/hooks"},
	"github.com/sigstore/sigstore":            {"internal/source/oci"},
	"go.etcd.io/bbolt":                        {"internal/notify"},
	"github.com/homeport/dyff":                {"internal/diff"},
	"k8s.io/apiserver/pkg/authentication":     {"internal/server/packreview"},
	"k8s.io/apiserver/pkg/server":             {"internal/server/packreview"},
	"k8s.io/client-go/dynamic":                {"internal/kube"},
	"github.com/fluxcd/cli-utils/pkg/kstatus": {"internal/apply"},
}

var banned = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "lib", "core", "base", "types", "manager"}

type pkg struct {
	ImportPath string
	Doc        string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var all []pkg
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module)
		all = append(all, p)
	}
}

func in(room, importPath string) bool {
	return importPath == room || strings.HasPrefix(importPath, room+"/")
}

func layerOf(importPath string) int {
	for i, l := range layers {
		if slices.ContainsFunc(l.rooms, func(room string) bool { return in(room, importPath) }) {
			return i
		}
	}
	return -1
}

func free(importPath string) bool {
	return in("test", importPath) || in("internal/archtest", importPath) || in("internal/testkit", importPath)
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		if free(p.ImportPath) {
			continue
		}
		from := layerOf(p.ImportPath)
		if from < 0 {
			t.Errorf("%s is in no layer: give it a room in this test", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			name, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if to := layerOf(name); to < from {
				t.Errorf("%s (%s) imports %s (%s), which is above it", p.ImportPath, layers[from].name, name, layers[max(to, 0)].name)
			}
			if strings.HasPrefix(p.ImportPath, "internal/controller/") && strings.HasPrefix(name, "internal/controller/") {
				t.Errorf("%s imports %s: controllers share engines, not each other", p.ImportPath, name)
			}
		}
	}
}

func TestHeavyLibrariesHaveOneHome(t *testing.T) {
	for _, p := range packages(t) {
		if free(p.ImportPath) {
			continue
		}
		for _, imported := range p.Imports {
			for library, rooms := range homes {
				if in(library, imported) && !slices.ContainsFunc(rooms, func(room string) bool { return in(room, p.ImportPath) }) {
					t.Errorf("%s imports %s, whose home is %s", p.ImportPath, imported, strings.Join(rooms, ", "))
				}
			}
		}
	}
}

func TestNamesAndComments(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(banned, path.Base(p.ImportPath)) {
			t.Errorf("%s: a package is named after what it provides", p.ImportPath)
		}
		if p.Doc == "" && !free(p.ImportPath) {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
