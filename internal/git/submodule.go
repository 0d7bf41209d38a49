package git

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/peyk/peyk/internal/git/ignore"
)

const (
	// maxModuleDepth is how deep submodules may be nested, maxModules how many one tree may have.
	maxModuleDepth = 10
	maxModules     = 100
	// modulesFile is where a repository says where its submodules come from.
	modulesFile = ".gitmodules"
)

// module is a submodule in a tree: another repository at one of its commits.
type module struct {
	at     []string
	commit string
	url    string
	rules  *ignore.Rules
	// depth is how many repositories it is inside of.
	depth int
}

// named returns the submodules that were found and that the repository has an address for. One without address cannot
// be read by anybody, and git leaves it out as well.
func (e *exporter) named(root plumbing.Hash) ([]module, error) {
	if len(e.found) == 0 {
		return nil, nil
	}
	addresses, err := e.addresses(root)
	if err != nil {
		return nil, err
	}
	var named []module
	for _, m := range e.found {
		inside := m.at[len(e.at):]
		if m.url = addresses[path.Join(inside...)]; m.url != "" {
			m.depth = e.depth + 1
			named = append(named, m)
		}
	}
	return named, nil
}

// addresses reads the file with the addresses of the submodules, by their folders.
func (e *exporter) addresses(root plumbing.Hash) (map[string]string, error) {
	tree, err := object.GetTree(e.objects, root)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the folder \"\": %w", errBroken, err)
	}
	for _, entry := range tree.Entries {
		if entry.Name != modulesFile || !entry.Mode.IsFile() || entry.Mode == filemode.Symlink {
			continue
		}
		var text strings.Builder
		const longest = 1 << 20
		if err := e.read(entry, e.at, longest, &text); err != nil {
			return nil, err
		}
		modules := config.NewModules()
		if err := modules.Unmarshal([]byte(text.String())); err != nil {
			return nil, errorf(Refused, "the file %s does not parse: %s", path.Join(append(e.at[:len(e.at):len(e.at)], modulesFile)...), oneLine(err.Error()))
		}
		addresses := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(modules.Submodules)) {
			addresses[path.Clean(modules.Submodules[name].Path)] = modules.Submodules[name].URL
		}
		return addresses, nil
	}
	return nil, nil
}

// submodule writes one submodule of the repository that parent reads.
func (j *checkout) submodule(parent *Connection, m module) error {
	if j.modules++; j.modules > maxModules || m.depth > maxModuleDepth {
		return errorf(Refused, "the repository has more than %d submodules, or nests them more than %d deep; this is refused", maxModules, maxModuleDepth)
	}
	remote, err := parent.remote.submodule(m.url)
	if err != nil {
		return err
	}
	c, rev, err := parent.mirrors.commit(j.ctx, remote, m.commit)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := os.Lstat(filepath.Join(append([]string{j.dir}, m.at...)...)); err == nil {
		return errorf(Refused, "the repository has two entries with the name %q; this is refused", path.Join(m.at...))
	}
	_, err = j.repository(c, rev, site{at: m.at, rules: m.rules, depth: m.depth})
	return err
}

// commit returns a commit by its hash, and a way to read it. Where it is here already the server is not asked at all.
func (m *Mirrors) commit(ctx context.Context, remote Remote, hash string) (*Connection, Revision, error) {
	rev := Revision{Commit: hash, want: plumbing.NewHash(hash)}
	for _, history := range []bool{false, true} {
		if local := m.mirror(remote, history); local.has(rev.want) || history && len(local.tips()) > 0 && local.reaches(rev.want) {
			if history {
				rev.history = local.tips()
			}
			return &Connection{mirrors: m, remote: remote, spent: true}, rev, nil
		}
	}
	c, err := m.Connect(ctx, remote)
	if err != nil {
		return nil, rev, err
	}
	if rev, err = c.Resolve(ctx, Reference{Commit: hash}); err != nil {
		c.Close()
		return nil, rev, err
	}
	return c, rev, nil
}

// submodule returns the repository that an address in .gitmodules means. The credentials go along to the same server
// only: what a repository says must not lead them anywhere else. A key for SSH is no secret to the server that it is
// shown to, and known_hosts says which servers those are.
func (r Remote) submodule(address string) (Remote, error) {
	parent, err := r.parse()
	if err != nil {
		return Remote{}, err
	}
	full, err := resolveAddress(parent, address)
	if err != nil {
		return Remote{}, err
	}
	child := Remote{URL: full}
	u, err := child.parse()
	if err != nil {
		return Remote{}, err
	}
	sameServer := u.Scheme == parent.Scheme && u.Host == parent.Host
	if sameServer || u.Scheme == "ssh" && parent.Scheme == "ssh" {
		child.Credentials = r.Credentials
	} else {
		child.Credentials = Credentials{CA: r.Credentials.CA, Proxy: r.Credentials.Proxy}
	}
	return child, nil
}

// resolveAddress understands what git does: a URL, the short form user@host:path, and a path relative to the parent's.
func resolveAddress(parent *url.URL, address string) (string, error) {
	switch {
	case strings.Contains(address, "://"):
		return address, nil
	case strings.HasPrefix(address, "./"), strings.HasPrefix(address, "../"):
		relative := *parent
		relative.RawQuery, relative.Fragment, relative.RawPath = "", "", ""
		relative.Path = path.Join("/", parent.Path, address)
		return relative.String(), nil
	}
	host, file, ok := strings.Cut(address, ":")
	if !ok || strings.Contains(host, "/") || file == "" {
		return "", errorf(BadURL, "the address %q in %s is neither a URL nor relative to the repository's own (./ or ../)", redactURL(address), modulesFile)
	}
	return "ssh://" + host + "/" + strings.TrimPrefix(file, "/"), nil
}
