package ci

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestRender checks every combination of options; that runners accept them is tested in test/ci.
func TestRender(t *testing.T) {
	for _, platform := range []string{GitLab, GitHub} {
		for i := range 16 {
			o := Options{Platform: platform, Dockerfile: "deploy/Dockerfile", Auto: i&1 > 0, Minimal: i&2 > 0}
			if i&4 > 0 {
				o.Pack, o.Registry = "base/sample-app", "registry.example.org"
			}
			if i&8 > 0 {
				o.Test = &Toolchain{"golang:1", []string{"go test ./..."}}
			}
			text, err := Render(o)
			if err != nil {
				t.Fatal(err)
			}
			parsed := map[string]any{}
			if err := yaml.Unmarshal(text, &parsed); err != nil {
				t.Fatalf("%+v: %v\n%s", o, err, text)
			}
			for what, is := range map[string]bool{
				"names the Dockerfile":       strings.Contains(string(text), "--file deploy/Dockerfile"),
				"waits":                      strings.Contains(string(text), "?wait=ready"),
				"skips Peyk's commits":       strings.Contains(string(text), "Delivery-Request:"),
				"names the Pack":             o.Pack == "" || strings.Contains(string(text), o.Pack),
				"names the registry":         o.Registry == "" || strings.Contains(string(text), o.Registry),
				"has the test":               o.Minimal || (o.Test != nil) == strings.Contains(string(text), "go test ./..."),
				"is manual, or not":          platform == GitHub || o.Auto != strings.Contains(string(text), "when: manual"),
				"passes no password as word": !regexp.MustCompile(`-p \$|--password [^-]`).Match(text),
			} {
				if !is {
					t.Errorf("%+v: not so: %s\n%s", o, what, text)
				}
			}
		}
	}
	if _, err := Render(Options{Platform: "jenkins"}); err == nil {
		t.Error("there is a pipeline for jenkins")
	}
}

func TestVariables(t *testing.T) {
	for _, o := range []Options{{Platform: GitLab}, {Platform: GitHub}, {Platform: GitLab, Registry: "r.example.org", Pack: "base/app"}} {
		text, err := Render(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range Variables(o) {
			if !strings.Contains(string(text), v.Name) {
				t.Errorf("%s is asked for and not used", v.Name)
			}
		}
		if Place(o) == "" {
			t.Error("nobody knows where")
		}
	}
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	if got := Detect(dir); got != nil {
		t.Errorf("%+v", got)
	}
	for _, name := range []string{"requirements.txt", "go.mod"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Detect(dir); got == nil || name == "go.mod" != strings.HasPrefix(got.Image, "golang") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
