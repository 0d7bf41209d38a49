package git

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// Reference says which commit is wanted. Commit beats Name, Name beats SemVer, SemVer beats Tag, Tag beats Branch; with
// none of them it is the branch master.
type Reference struct {
	Branch, Tag string
	// SemVer is a range, such as ">=1.2.0 <2.0.0". The highest tag in it is taken.
	SemVer string
	// Name is a full name, such as refs/pull/420/head; "^{}" at its end is allowed and changes nothing.
	Name string
	// Commit is 40 hexadecimal digits. With Branch, that branch must exist.
	Commit string
}

// Revision is a commit together with the name that it was found by.
type Revision struct {
	// Name is a branch, a tag, or a full reference; empty for a commit that was asked for by its hash alone.
	Name string
	// Tag is the name of the tag that led to the commit; empty where it was found in another way.
	Tag string
	// Commit is the hash in hexadecimal.
	Commit string

	// want is what the reference points to: the commit, or an annotated tag of it.
	want plumbing.Hash
	// rivals are the other tags of the same version, which may point to a younger commit.
	rivals []Revision
	// history is set where the server gives the commit only as a part of the history of its tips.
	history []plumbing.Hash
}

// String returns the revision as Flux writes it: main@sha1:<hash>, or sha1:<hash> without a name.
func (r Revision) String() string {
	if r.Name == "" {
		return "sha1:" + r.Commit
	}
	return r.Name + "@sha1:" + r.Commit
}

// Object is the hash of what the reference points to: the commit, or an annotated tag of it.
func (r Revision) Object() string { return r.want.String() }

const (
	headPrefix = "refs/heads/"
	tagPrefix  = "refs/tags/"
)

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// resolve finds the wanted commit among the references that the server advertises.
func resolve(refs *packp.AdvRefs, ref Reference) (Revision, error) {
	switch {
	case ref.Commit != "":
		return resolveCommit(refs, ref)
	case ref.Name != "":
		name := strings.TrimSuffix(ref.Name, "^{}")
		return resolveName(refs, name, ref.Name, "reference")
	case ref.SemVer != "":
		return resolveSemVer(refs, ref.SemVer)
	case ref.Tag != "":
		return resolveName(refs, tagPrefix+ref.Tag, ref.Tag, "tag")
	case ref.Branch != "":
		return resolveName(refs, headPrefix+ref.Branch, ref.Branch, "branch")
	}
	return resolveName(refs, headPrefix+"master", "master", "branch")
}

func resolveName(refs *packp.AdvRefs, full, display, what string) (Revision, error) {
	hash, ok := refs.References[full]
	if !ok && full == "HEAD" && refs.Head != nil {
		hash, ok = *refs.Head, true
	}
	if !ok {
		return Revision{}, errorf(NoRevision, "%s %q is not in the repository; it has %s", what, display, existing(refs, what))
	}
	commit := hash
	if peeled, ok := refs.Peeled[full]; ok {
		commit = peeled
	}
	tag, ok := strings.CutPrefix(full, tagPrefix)
	if !ok {
		tag = ""
	}
	return Revision{Name: display, Tag: tag, Commit: commit.String(), want: hash}, nil
}

func resolveCommit(refs *packp.AdvRefs, ref Reference) (Revision, error) {
	if !fullHash.MatchString(ref.Commit) {
		return Revision{}, errorf(BadReference, "commit %q must be 40 lower-case hexadecimal digits", ref.Commit)
	}
	rev := Revision{Commit: ref.Commit, want: plumbing.NewHash(ref.Commit)}
	if ref.Branch != "" {
		if _, err := resolveName(refs, headPrefix+ref.Branch, ref.Branch, "branch"); err != nil {
			return Revision{}, err
		}
		rev.Name = ref.Branch
	}
	if !givesCommit(refs, rev.want) {
		rev.history = tips(refs, ref.Branch)
	}
	return rev, nil
}

// givesCommit says whether the server lets clients ask for a commit by its hash.
func givesCommit(refs *packp.AdvRefs, hash plumbing.Hash) bool {
	if refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) {
		return true
	}
	for _, tip := range refs.References {
		if tip == hash {
			return true
		}
	}
	return false
}

// tips are the ends of the history to look for a commit in: of one branch, or of all branches and tags.
func tips(refs *packp.AdvRefs, branch string) []plumbing.Hash {
	if branch != "" {
		return []plumbing.Hash{refs.References[headPrefix+branch]}
	}
	var found []plumbing.Hash
	for name, hash := range refs.References {
		if strings.HasPrefix(name, headPrefix) || strings.HasPrefix(name, tagPrefix) {
			found = append(found, hash)
		}
	}
	return found
}

// candidate is a tag in a semver range.
type candidate struct {
	tag     string
	version *semver.Version
}

// maxRivals is how many tags of one version are compared by the time of their commits.
const maxRivals = 20

func resolveSemVer(refs *packp.AdvRefs, expression string) (Revision, error) {
	constraint, err := semver.NewConstraint(expression)
	if err != nil {
		return Revision{}, errorf(BadReference, "semver range %q does not parse: %v", expression, err)
	}
	var found []candidate
	for name := range refs.References {
		tag, ok := strings.CutPrefix(name, tagPrefix)
		// A tag such as v1 or 2026.1 is no version: it would be taken for 1.0.0 or 2026.1.0.
		if !ok || strings.Count(tag, ".") < 2 {
			continue
		}
		if version, err := semver.NewVersion(tag); err == nil && constraint.Check(version) {
			found = append(found, candidate{tag, version})
		}
	}
	if len(found) == 0 {
		return Revision{}, errorf(NoRevision, "no tag is in the semver range %q; the repository has %s", expression, existing(refs, "tag"))
	}
	slices.SortFunc(found, func(a, b candidate) int { return b.compare(a) })
	best, err := resolveName(refs, tagPrefix+found[0].tag, found[0].tag, "tag")
	if err != nil {
		return Revision{}, err
	}
	for _, other := range found[1:min(len(found), maxRivals)] {
		if !other.version.Equal(found[0].version) {
			break
		}
		rival, err := resolveName(refs, tagPrefix+other.tag, other.tag, "tag")
		if err == nil && rival.Commit != best.Commit {
			best.rivals = append(best.rivals, rival)
		}
	}
	return best, nil
}

// compare compares versions, and tags of equal version by their build metadata and then by name, so that the choice does
// not depend on the order in which a server lists its tags.
func (c candidate) compare(other candidate) int {
	return cmp.Or(
		c.version.Compare(other.version),
		cmp.Compare(c.version.Metadata(), other.version.Metadata()),
		cmp.Compare(c.tag, other.tag),
	)
}

// existing lists a few of the names that a user may have meant.
func existing(refs *packp.AdvRefs, what string) string {
	prefix, plural := "", "references"
	switch what {
	case "branch":
		prefix, plural = headPrefix, "branches"
	case "tag":
		prefix, plural = tagPrefix, "tags"
	}
	var names []string
	for name := range refs.References {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			names = append(names, short)
		}
	}
	if len(names) == 0 {
		return "no " + plural
	}
	slices.Sort(names)
	const few = 5
	if len(names) <= few {
		return "the " + plural + " " + strings.Join(names, ", ")
	}
	return fmt.Sprintf("the %s %s and %d more", plural, strings.Join(names[:few], ", "), len(names)-few)
}
