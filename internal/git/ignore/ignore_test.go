package ignore_test

import (
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/git/ignore"
)

func TestRules(t *testing.T) {
	root := ignore.New("/*\n!/deploy\n/deploy/**/*.md\n# a comment\n\n")
	nested := ignore.New("").Enter([]string{"apps"}, "*.tmp\n!logo.png\n")
	for _, tt := range []struct {
		name  string
		rules *ignore.Rules
		path  string
		want  bool
	}{
		{"by default manifests stay", ignore.New(""), "a/b.yaml", false},
		{"by default pictures go", ignore.New(""), "a/b.PNG.png", true},
		{"pipelines go", ignore.New(""), ".github/workflows/ci.yaml", true},
		{"sops configuration goes at any depth", ignore.New(""), "a/b/.sops.yaml", true},
		{"git's own files go", ignore.New(""), "a/.gitignore", true},
		{"nothing brings git's own files back", ignore.New("!.gitmodules\n!.git/"), ".gitmodules", true},
		{"everything but one folder", root, "other/x.yaml", true},
		{"the one folder", root, "deploy/app/x.yaml", false},
		{"again without", root, "deploy/app/x.md", true},
		{"a pattern of a folder is for the folder", nested, "other/a.tmp", false},
		{"and for what is below", nested, "apps/deep/a.tmp", true},
		{"a folder brings a default back", nested, "apps/logo.png", false},
		{"only below itself", nested, "logo.png", true},
		{"the last word", ignore.New("*.yaml").Enter(nil, "!*.yaml"), "a.yaml", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rules.Excludes(strings.Split(tt.path, "/")); got != tt.want {
				t.Errorf("Excludes(%s) = %t", tt.path, got)
			}
		})
	}
}
