package pack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Constraint says which versions of a chart satisfy a Pack.
type Constraint struct {
	text   string
	parsed *semver.Constraints
}

// ParseConstraint reads a constraint: the compatible-release operator and == of Python's PEP 440 (`~=0.3.1`,
// `~=0.3`, `==1.2.*`), an exact version with or without v, or a range as Helm understands it. The empty constraint is
// satisfied by every version that is not a pre-release. Errors quote the constraint and say what would be right.
func ParseConstraint(text string) (Constraint, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		text = "*"
	}
	translated, err := translate(text)
	if err != nil {
		return Constraint{}, err
	}
	parsed, err := semver.NewConstraint(translated)
	if err != nil {
		return Constraint{}, fmt.Errorf("version constraint %q is not understood; use ~=X.Y.Z, an exact version, or a range such as >=1.2 <2", text)
	}
	return Constraint{text: text, parsed: parsed}, nil
}

// String returns the constraint as it was written, * when it was empty.
func (c Constraint) String() string { return c.text }

// Allows says whether version satisfies the constraint. A version that is not a semantic version never does.
func (c Constraint) Allows(version string) bool {
	v, err := semver.NewVersion(version)
	return err == nil && c.parsed != nil && c.parsed.Check(v)
}

// Newest returns the newest of versions that satisfies the constraint, empty when none does.
func (c Constraint) Newest(versions []string) string {
	var newest *semver.Version
	for _, text := range versions {
		v, err := semver.NewVersion(text)
		if err != nil || !c.parsed.Check(v) || (newest != nil && !v.GreaterThan(newest)) {
			continue
		}
		newest = v
	}
	if newest == nil {
		return ""
	}
	return newest.Original()
}

// NewestOf returns the newest of versions that is not a pre-release, empty when there is none.
func NewestOf(versions []string) string {
	every, err := ParseConstraint("")
	if err != nil {
		return ""
	}
	return every.Newest(versions)
}

// Older says whether version a is older than b. It is false when one of them is no semantic version.
func Older(a, b string) bool {
	x, err := semver.NewVersion(a)
	if err != nil {
		return false
	}
	y, err := semver.NewVersion(b)
	return err == nil && x.LessThan(y)
}

// translate turns the clauses that PEP 440 has of its own into ranges of semantic versions.
func translate(text string) (string, error) {
	alternatives := strings.Split(text, "||")
	for i, alternative := range alternatives {
		clauses := strings.Split(alternative, ",")
		for j, clause := range clauses {
			translated, err := translateClause(strings.TrimSpace(clause))
			if err != nil {
				return "", fmt.Errorf("version constraint %q: %w", text, err)
			}
			clauses[j] = translated
		}
		alternatives[i] = strings.Join(clauses, ", ")
	}
	return strings.Join(alternatives, " || "), nil
}

func translateClause(clause string) (string, error) {
	if version, ok := strings.CutPrefix(clause, "~="); ok {
		return compatible(strings.TrimSpace(version))
	}
	for _, equal := range []string{"===", "=="} {
		if version, ok := strings.CutPrefix(clause, equal); ok {
			return "=" + strings.TrimSpace(version), nil
		}
	}
	return clause, nil
}

var errCompatible = errors.New("~= needs two or three numbers, as in ~=1.2 (1.2 and newer, below 2) or ~=1.2.3 (1.2.3 and newer, below 1.3)")

// compatible translates ~=X.Y and ~=X.Y.Z: at least this version, and the number before the last one stays.
func compatible(version string) (string, error) {
	version = strings.TrimPrefix(version, "v")
	release, _, prerelease := strings.Cut(version, "-")
	release, _, _ = strings.Cut(release, "+")
	numbers := strings.Split(release, ".")
	if len(numbers) != 2 && len(numbers) != 3 {
		return "", errCompatible
	}
	parsed := make([]uint64, len(numbers))
	for i, n := range numbers {
		value, err := strconv.ParseUint(n, 10, 32)
		if err != nil {
			return "", errCompatible
		}
		parsed[i] = value
	}
	upper := fmt.Sprintf("%d.0.0", parsed[0]+1)
	if len(parsed) == 3 {
		upper = fmt.Sprintf("%d.%d.0", parsed[0], parsed[1]+1)
	}
	if prerelease {
		// Pre-releases are let in only where one is named, and those of the upper bound stay out even then.
		upper += "-0"
	}
	return fmt.Sprintf(">=%s, <%s", version, upper), nil
}
