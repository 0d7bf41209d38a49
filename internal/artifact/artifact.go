// Package artifact keeps what sources produce: content-addressed, immutable trees and files on local disk, shared in
// process by every consumer. To consumers outside the process trees are served as reproducible tarballs, files as they are.
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

// Artifact is one immutable tree, or one immutable file, that a source produced.
type Artifact struct {
	Ref
	// Revision is the source's name of the content, such as main@sha1:<hash>.
	Revision string
	// Digest is "sha256:<hex>" of what is served. Equal trees have equal digests.
	Digest string
	// Path is the place of the artifact below the server's root, such as gitrepository/default/app/<hash>.tar.gz.
	Path string
	// URL is where the artifact is served.
	URL string
	// Size in bytes of what is served.
	Size int64
	// UpdatedAt is when this revision was stored first, in whole seconds.
	UpdatedAt time.Time
	// Metadata is what the source says about the content, such as the annotations of an OCI manifest. It may be nil.
	Metadata map[string]string
	// Dir is the root of the tree on local disk; empty for a file. Nobody writes below it. It stays for at least a minute
	// after a newer artifact of the same object took its place, and longer with Store.Hold.
	Dir string
	// File is the file on local disk; empty for a tree. It stays as long as Dir would.
	File string
}

var unsafeInFile = regexp.MustCompile(`[^A-Za-z0-9._+-]+`)

// fileName is the name under which a record is served: that of the file, or for a tree the hash that the revision ends
// in.
func (r record) fileName() string {
	if r.File != "" {
		return safe(r.File)
	}
	revision := r.Revision
	if i := strings.LastIndexByte(revision, ':'); i >= 0 && i < len(revision)-1 {
		revision = revision[i+1:]
	}
	return safe(revision) + ".tar.gz"
}

func safe(name string) string {
	name = strings.Trim(unsafeInFile.ReplaceAllString(name, "-"), ".")
	if name == "" {
		return "artifact"
	}
	return name
}
