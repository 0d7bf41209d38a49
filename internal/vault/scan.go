package vault

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
)

// AllowMark, in a comment in the line of a finding or in the line above it, says that it is none.
const AllowMark = "peyk:allow-secret"

// maxScanned is the size of the largest file that is looked into: what people write by hand is smaller.
const maxScanned = 4 << 20

// Finding is something in a file that looks like a secret in plain text.
type Finding struct {
	Path string `json:"path"`
	// Line that it stands in, from 1.
	Line int `json:"line"`
	// Field of a YAML or JSON file; empty in others.
	Field string `json:"field,omitempty"`
	// Rule that found it, in words.
	Rule string `json:"rule"`
	// Masked is what may be shown of it.
	Masked string `json:"masked"`

	sum [sha256.Size]byte
}

// String tells of the finding in one line, without the secret.
func (f Finding) String() string {
	where := fmt.Sprintf("%s:%d", f.Path, f.Line)
	if f.Field != "" {
		where += " " + f.Field
	}
	return where + ": " + f.Rule + " " + f.Masked
}

// Scan looks for secrets in plain text in a file. The path tells how the file is written, and is told in the findings.
func Scan(file string, content []byte) []Finding {
	if len(content) > maxScanned || bytes.IndexByte(content[:min(len(content), 8<<10)], 0) >= 0 {
		return nil
	}
	s := &scan{path: file, lines: strings.Split(string(content), "\n"), seen: map[int]bool{}}
	switch ext := strings.ToLower(path.Ext(file)); {
	case ext == ".yaml" || ext == ".yml" || ext == ".json":
		s.deployed = true
		s.documents(content)
	case ext == ".env" || ext == ".properties" || strings.HasPrefix(path.Base(file), ".env"):
		s.deployed = true
		s.assignments(assignment)
	}
	s.text()
	slices.SortStableFunc(s.found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return s.found
}

// Added returns what a change of a file brings in that was not in it before, wherever it stood there.
func Added(file string, before, after []byte) []Finding {
	had := map[[sha256.Size]byte]bool{}
	for _, f := range Scan(file, before) {
		had[f.sum] = true
	}
	return slices.DeleteFunc(Scan(file, after), func(f Finding) bool { return had[f.sum] })
}

// scan is the scan of one file.
type scan struct {
	path  string
	lines []string
	// deployed says that the file configures something, and is no program or text for people.
	deployed bool
	found    []Finding
	// seen are the lines that were reported, so that two rules do not tell of the same text.
	seen map[int]bool
}

// report takes a finding down unless the file says that it is none.
func (s *scan) report(line int, field, rule, secret string) {
	if s.seen[line] || s.allowed(line) {
		return
	}
	s.seen[line] = true
	s.found = append(s.found, Finding{Path: s.path, Line: line, Field: field, Rule: rule, Masked: masked(secret), sum: sha256.Sum256([]byte(secret))})
}

func (s *scan) allowed(line int) bool {
	if line < 1 || line > len(s.lines) {
		return false
	}
	if strings.Contains(s.lines[line-1], AllowMark) {
		return true
	}
	if line < 2 {
		return false
	}
	above := strings.TrimSpace(s.lines[line-2])
	return strings.Contains(above, AllowMark) && strings.IndexAny(above, "#/<-;") == 0
}

// masked tells how long a secret is, and nothing of it.
func masked(secret string) string { return fmt.Sprintf("****** (%d characters)", len([]rune(secret))) }
