package pack

import (
	"strings"

	"github.com/Masterminds/semver/v3"
)

// NewestFirst compares two versions for sorting, the newest first. What is no semantic version comes last.
func NewestFirst(a, b string) int {
	x, errX := semver.NewVersion(a)
	y, errY := semver.NewVersion(b)
	switch {
	case errX == nil && errY == nil:
		return y.Compare(x)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return strings.Compare(b, a)
}
