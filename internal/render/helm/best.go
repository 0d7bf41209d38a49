package helm

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// ErrNoVersion is what Best fails with when no version is wanted, and what wraps a range that is none.
var ErrNoVersion = errors.New("no version matches")

// Best returns the version that is meant by wanted: the one of that name, or else the newest in the range. Without a range
// pre-releases are left out. Of equal versions it is the one that was made last.
func Best(versions []Version, wanted string) (Version, error) {
	for _, v := range versions {
		if wanted != "" && v.Version == wanted {
			return v, nil
		}
	}
	if wanted == "" {
		wanted = "*"
	}
	constraint, err := semver.NewConstraint(wanted)
	if err != nil {
		return Version{}, fmt.Errorf("%w: %q is neither a version nor a range of versions", ErrNoVersion, wanted)
	}
	var best Version
	var newest *semver.Version
	for _, v := range versions {
		parsed, err := ParseVersion(v.Version)
		if err != nil || !constraint.Check(parsed) {
			continue
		}
		if newest == nil || parsed.GreaterThan(newest) || parsed.Equal(newest) && v.Created.After(best.Created) {
			best, newest = v, parsed
		}
	}
	if newest == nil {
		return Version{}, fmt.Errorf("%w: none of %d versions is %s", ErrNoVersion, len(versions), wanted)
	}
	return best, nil
}

// ParseVersion reads a version as Flux does: a v in front and zeros before a number are allowed, but all three numbers must
// be there.
func ParseVersion(text string) (*semver.Version, error) {
	if strings.Count(text, ".") < 2 {
		return nil, semver.ErrInvalidSemVer
	}
	return semver.NewVersion(text)
}
