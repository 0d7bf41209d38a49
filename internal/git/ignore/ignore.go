// Package ignore decides which files of a source belong in its artifact, by patterns in the form of .gitignore.
package ignore

import (
	"bufio"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// File is the name of the files in a source that hold patterns for the folder they are in and everything below it.
const File = ".sourceignore"

// versionControl is never a part of an artifact, whatever the patterns say.
const versionControl = `
.git/
.git
.gitignore
.gitmodules
.gitattributes
`

// defaults are left out unless a pattern brings them back: what builds and pipelines need and clusters do not.
const defaults = `
*.jpg
*.jpeg
*.gif
*.png
*.wmv
*.flv
*.tar.gz
*.zip
.github/
.circleci/
.travis.yml
.gitlab-ci.yml
appveyor.yml
.drone.yml
cloudbuild.yaml
codeship-services.yml
codeship-steps.yml
**/.goreleaser.yml
**/.sops.yaml
**/.flux.yaml
`

// Rules are the patterns that apply in one folder of a source. Rules are immutable: Enter returns new ones.
type Rules struct {
	always  gitignore.Matcher
	found   []gitignore.Pattern
	last    []gitignore.Pattern
	matcher gitignore.Matcher
}

// New returns the rules at the root of a source: the defaults and then extra, which has the last word also over the
// patterns that Enter adds.
func New(extra string) *Rules {
	return build(parse(defaults, nil), parse(extra, nil))
}

// Plain returns the rules of the given texts alone, the last one having the last word: nothing is left out by default.
func Plain(texts ...string) *Rules {
	var patterns []gitignore.Pattern
	for _, text := range texts {
		patterns = append(patterns, parse(text, nil)...)
	}
	return &Rules{always: gitignore.NewMatcher(nil), last: patterns, matcher: gitignore.NewMatcher(patterns)}
}

func build(found, last []gitignore.Pattern) *Rules {
	all := append(append([]gitignore.Pattern(nil), found...), last...)
	return &Rules{
		always: gitignore.NewMatcher(parse(versionControl, nil)),
		found:  found, last: last, matcher: gitignore.NewMatcher(all),
	}
}

// Enter returns the rules for the folder at path, given the content of the File in it.
func (r *Rules) Enter(path []string, content string) *Rules {
	found := append(append([]gitignore.Pattern(nil), r.found...), parse(content, path)...)
	return build(found, r.last)
}

// Excludes says whether the file at path, its elements from the root of the source, is left out.
func (r *Rules) Excludes(path []string) bool {
	return r.always.Match(path, false) || r.matcher.Match(path, false)
}

func parse(content string, domain []string) []gitignore.Pattern {
	var patterns []gitignore.Pattern
	lines := bufio.NewScanner(strings.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		patterns = append(patterns, gitignore.ParsePattern(line, domain))
	}
	return patterns
}
