// Package artifact keeps what sources produce: content-addressed, immutable trees on local disk, shared in process by
// every consumer and served as reproducible tarballs to consumers outside the process.
package artifact

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
)

// Ref names the object that an artifact belongs to.
type Ref struct {
	Kind, Namespace, Name string
}

// String returns kind/namespace/name.
func (r Ref) String() string { return r.Kind + "/" + r.Namespace + "/" + r.Name }

// dir is where the artifacts of r are in a URL, such as gitrepository/default/app.
func (r Ref) dir() string {
	return path.Join(strings.ToLower(r.Kind), r.Namespace, r.Name)
}

// check refuses a Ref that could name something outside of its place on disk or in a URL.
func (r Ref) check() error {
	for _, part := range []string{r.Kind, r.Namespace, r.Name} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return fmt.Errorf("artifact reference %q has an invalid part %q", r, part)
		}
	}
	return nil
}

// Artifact is one immutable tree that a source produced.
type Artifact struct {
	Ref
	// Revision is the source's name of the tree, such as main@sha1:<hash>.
	Revision string
	// Digest is "sha256:<hex>" of the tarball. Equal trees have equal digests.
	Digest string
	// Path is the place of the tarball below the server's root, such as gitrepository/default/app/<hash>.tar.gz.
	Path string
	// URL is where the tarball is served.
	URL string
	// Size of the tarball in bytes.
	Size int64
	// UpdatedAt is when this revision was stored first, in whole seconds.
	UpdatedAt time.Time
	// Dir is the root of the tree on local disk. Nobody writes below it. It stays for at least a minute after a newer
	// artifact of the same object took its place.
	Dir string
}

var unsafeInFile = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// fileName is the name of the tarball of a revision: the hash that the revision ends in.
func fileName(revision string) string {
	if i := strings.LastIndexByte(revision, ':'); i >= 0 && i < len(revision)-1 {
		revision = revision[i+1:]
	}
	name := strings.Trim(unsafeInFile.ReplaceAllString(revision, "-"), ".")
	if name == "" {
		name = "artifact"
	}
	return name + ".tar.gz"
}
