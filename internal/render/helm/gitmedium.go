package helm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"

	"github.com/peyk/peyk/internal/git"
)

// GitSource says where in a Git repository charts are.
type GitSource struct {
	// Branch whose head is read, or Tags, a range of versions of tags.
	Branch, Tags string
	// Path of the folder that is a chart, or whose folders are.
	Path        string
	Credentials git.Credentials
}

// Mirrors connects to Git repositories.
type Mirrors interface {
	Connect(ctx context.Context, remote git.Remote) (*git.Connection, error)
}

// UseGit lets the Store read Git repositories.
func (s *Store) UseGit(mirrors Mirrors) {
	s.git = &gitMedium{mirrors: mirrors, seen: map[string][]folder{}}
}

// maxTags is how many tags are read, the newest of a range; maxSeen is how many commits are remembered.
const (
	maxTags = 50
	maxSeen = 2000
)

// gitMedium reads charts that are folders of a Git repository.
type gitMedium struct {
	mirrors Mirrors

	mu   sync.Mutex
	seen map[string][]folder // what a folder has at a commit, which never changes
}

// folder is a chart in a tree.
type folder struct{ name, version, dir string }

// point is a commit that charts are read from. Chart is set when its tag is that of one chart.
type point struct {
	revision git.Revision
	chart    string
	version  *semver.Version
}

func (m *gitMedium) index(ctx context.Context, r Repository, _ []string, previous *Index) (*Index, error) {
	remote := r.remote()
	connection, err := m.mirrors.Connect(ctx, remote)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	points, err := pointsOf(ctx, connection, *r.Git)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\x00%s\x00", remote.Address(), r.Git.Path)
	for _, p := range points {
		fmt.Fprintf(hash, "%s %s\x00", p.chart, p.revision.Commit)
	}
	revision := "sha256:" + hex.EncodeToString(hash.Sum(nil))
	if previous != nil && previous.Revision == revision {
		return previous, nil
	}
	index := &Index{Revision: revision, Charts: map[string][]Version{}}
	for _, p := range points {
		folders, err := m.look(ctx, connection, r, p.revision)
		if err != nil {
			return nil, err
		}
		for _, f := range folders {
			if _, known := index.Find(f.name, f.version); known || p.chart != "" && p.chart != f.name {
				continue
			}
			address := fmt.Sprintf("git+%s#%s:%s", remote.Address(), p.revision.Commit, f.dir)
			index.Charts[f.name] = append(index.Charts[f.name], Version{Name: f.name, Version: f.version, URL: address})
		}
	}
	return index, nil
}

// pointsOf returns the commits to read, the newest version first.
func pointsOf(ctx context.Context, connection *git.Connection, s GitSource) ([]point, error) {
	if s.Tags == "" {
		revision, err := connection.Resolve(ctx, git.Reference{Branch: cmp.Or(s.Branch, "main")})
		return []point{{revision: revision}}, err
	}
	constraint, err := semver.NewConstraint(s.Tags)
	if err != nil {
		return nil, fmt.Errorf("spec.git.tags: %q is not a range of versions, such as >=1.0.0", s.Tags)
	}
	var points []point
	names := map[string]string{}
	for _, tag := range connection.Tags() {
		chart, version := versionOfTag(tag)
		if version != nil && constraint.Check(version) {
			points = append(points, point{chart: chart, version: version})
			names[chart+"\x00"+version.Original()] = tag
		}
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("spec.git.tags: no tag of the repository is in the range %s", s.Tags)
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Or(b.version.Compare(a.version), strings.Compare(a.chart, b.chart)) })
	points = points[:min(len(points), maxTags)]
	for i, p := range points {
		revision, err := connection.Resolve(ctx, git.Reference{Tag: names[p.chart+"\x00"+p.version.Original()]})
		if err != nil {
			return nil, err
		}
		points[i].revision = revision
	}
	return points, nil
}

// taggedVersion is the name of a tag that has a version in it, with the name of a chart before it or not.
var taggedVersion = regexp.MustCompile(`^(?:(.+)-)?(v?\d+\.\d+\.\d+(?:[-+].*)?)$`)

func versionOfTag(tag string) (chart string, version *semver.Version) {
	m := taggedVersion.FindStringSubmatch(tag)
	if m == nil {
		return "", nil
	}
	version, err := semver.NewVersion(m[2])
	if err != nil {
		return "", nil
	}
	return m[1], version
}

// look returns the charts at a commit.
func (m *gitMedium) look(ctx context.Context, connection *git.Connection, r Repository, revision git.Revision) ([]folder, error) {
	key := strings.Join([]string{r.scope(), r.URL, r.Git.Path, revision.Commit}, "\x00")
	m.mu.Lock()
	folders, known := m.seen[key]
	m.mu.Unlock()
	if known {
		return folders, nil
	}
	err := checkedOut(ctx, connection, revision, r.Git.Path, func(dir string) (err error) {
		folders, err = chartsIn(dir, r.Git.Path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the charts of %s: %w", revision, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) >= maxSeen {
		clear(m.seen)
	}
	m.seen[key] = folders
	return folders, nil
}

// checkedOut calls f with a folder that has a part of the tree of a revision.
func checkedOut(ctx context.Context, connection *git.Connection, revision git.Revision, at string, f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "charts-")
	if err != nil {
		return fmt.Errorf("making room for charts: %w", err)
	}
	defer os.RemoveAll(dir)
	tree := git.Tree{}
	if clean := cleanPath(at); clean != "." {
		tree.Only = []string{clean}
	}
	if _, err := connection.Checkout(ctx, revision, dir, tree); err != nil {
		return err
	}
	return f(dir)
}

// cleanPath is a path from the root of a repository that does not lead out of it.
func cleanPath(at string) string { return path.Join(".", path.Clean("/"+at)) }

// chartsIn finds the charts in a folder of a tree: itself, or the folders in it. One that is broken is as if it were not
// there, unless it is the only one.
func chartsIn(root, at string) ([]folder, error) {
	top := cleanPath(at)
	dirs := []string{top}
	if _, err := os.Stat(filepath.Join(root, top, "Chart.yaml")); err != nil {
		dirs = nil
		entries, err := os.ReadDir(filepath.Join(root, top))
		if err != nil {
			return nil, fmt.Errorf("spec.git.path: the folder %q is not in the repository", at)
		}
		for _, entry := range entries {
			if _, err := os.Stat(filepath.Join(root, top, entry.Name(), "Chart.yaml")); entry.IsDir() && err == nil {
				dirs = append(dirs, path.Join(top, entry.Name()))
			}
		}
	}
	var folders []folder
	var errs []error
	for _, dir := range dirs {
		name, version, err := ReadChart(filepath.Join(root, dir))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
			continue
		}
		folders = append(folders, folder{name, version, dir})
	}
	if len(folders) == 0 {
		return nil, errors.Join(append(errs, fmt.Errorf("spec.git.path: neither %q nor a folder in it is a chart", at))...)
	}
	return folders, nil
}

func (m *gitMedium) archive(ctx context.Context, r Repository, v Version) ([]byte, error) {
	_, place, _ := strings.Cut(v.URL, "#")
	commit, dir, ok := strings.Cut(place, ":")
	if !ok {
		return nil, fmt.Errorf("%s names no commit", v.URL)
	}
	connection, err := m.mirrors.Connect(ctx, r.remote())
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	revision, err := connection.Resolve(ctx, git.Reference{Commit: commit})
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	err = checkedOut(ctx, connection, revision, r.Git.Path, func(root string) error {
		draft, err := complete(root, dir, 0)
		if err != nil {
			return err
		}
		return draft.Write(&archive)
	})
	if err != nil {
		return nil, fmt.Errorf("packing chart %s of commit %.12s: %w", v.Name, commit, err)
	}
	return archive.Bytes(), nil
}

// maxDepth is how deep charts that need each other may be nested.
const maxDepth = 10

// complete opens a chart of a tree, with the charts beside it that it needs.
func complete(root, dir string, depth int) (*Draft, error) {
	draft, err := OpenDraft(filepath.Join(root, dir))
	if err != nil {
		return nil, err
	}
	for _, missing := range draft.Missing() {
		relative, isFile := strings.CutPrefix(missing.Repository, "file://")
		if !isFile || depth >= maxDepth {
			return nil, fmt.Errorf("it needs chart %s, which is not in its folder charts: put it there", missing.Name)
		}
		other, err := complete(root, cleanPath(path.Join(dir, relative)), depth+1)
		if err != nil {
			return nil, fmt.Errorf("its dependency %s: %w", missing.Name, err)
		}
		draft.Add(other, missing)
	}
	return draft, nil
}

// remote is the Git repository.
func (r Repository) remote() git.Remote {
	return git.Remote{URL: r.URL, Credentials: r.Git.Credentials}
}

func checkGit(r Repository, parsed *url.URL) error {
	switch parsed.Scheme {
	case "http", "https", "ssh":
	default:
		return fmt.Errorf("spec.url starts with %q: with spec.git use https://, http:// or ssh://", parsed.Scheme)
	}
	if r.Verify != nil {
		return errors.New("spec.verify: charts in a Git repository are not signed; protect the branch or the tags, or sign charts and serve them from a registry")
	}
	return nil
}
