package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Entry says of an artifact to be stored whose it is and what people should know of it.
type Entry struct {
	Ref Ref
	// Revision is the source's name of the content.
	Revision string
	// File is the name under which a file is served. A tree has none.
	File string
	// Metadata is what the source says about the content. It may be nil.
	Metadata map[string]string
}

// Put stores the tree that fill writes below the folder it is given, as the newest artifact of ref. Where the newest
// artifact has that revision and content already, nothing changes and that one is returned.
func (s *Store) Put(ctx context.Context, ref Ref, revision string, fill func(dir string) error) (*Artifact, error) {
	return s.PutTree(ctx, Entry{Ref: ref, Revision: revision}, fill)
}

// PutTree is Put with metadata.
func (s *Store) PutTree(ctx context.Context, e Entry, fill func(dir string) error) (*Artifact, error) {
	ref := e.Ref
	if err := ref.check(); err != nil {
		return nil, err
	}
	if e.File != "" {
		return nil, fmt.Errorf("storing the artifact of %s: a tree has no file name", ref)
	}
	work, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "tree-")
	if err != nil {
		return nil, fmt.Errorf("making room for the artifact of %s: %w", ref, err)
	}
	defer os.RemoveAll(work)
	tree, tarball := filepath.Join(work, "tree"), filepath.Join(work, "tarball")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, fmt.Errorf("making room for the artifact of %s: %w", ref, err)
	}
	if err := fill(tree); err != nil {
		return nil, err
	}
	digest, size, err := pack(ctx, tree, tarball)
	if err != nil {
		return nil, fmt.Errorf("archiving the tree of %s: %w", ref, err)
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return nil, fmt.Errorf("storing the artifact of %s: %w", ref, err)
	}
	return s.commit(work, record{Ref: ref, Revision: e.Revision, Digest: digest, Size: size, Metadata: e.Metadata})
}

// PutFile stores what fill writes as one file, the newest artifact of ref, served under name. Where the newest artifact
// has that revision, name and content already, nothing changes and that one is returned.
func (s *Store) PutFile(ctx context.Context, ref Ref, revision, name string, fill func(w io.Writer) error) (*Artifact, error) {
	return s.PutContent(ctx, Entry{Ref: ref, Revision: revision, File: name}, func(w io.Writer, _ *Entry) error { return fill(w) })
}

// PutContent is PutFile with metadata. What is known only when the content is, fill sets in the Entry it is given.
func (s *Store) PutContent(ctx context.Context, e Entry, fill func(w io.Writer, e *Entry) error) (*Artifact, error) {
	ref := e.Ref
	if err := ref.check(); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "file-")
	if err != nil {
		return nil, fmt.Errorf("making room for the artifact of %s: %w", ref, err)
	}
	defer os.Remove(temp.Name())
	hash := sha256.New()
	counter := &countingWriter{to: io.MultiWriter(temp, hash)}
	err = fill(counter, &e)
	if err == nil {
		err = ctx.Err()
	}
	if closeErr := temp.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("storing the artifact of %s: %w", ref, closeErr)
	}
	if err != nil {
		return nil, err
	}
	if e.Ref != ref || e.File == "" {
		return nil, errors.New("storing the artifact of " + ref.String() + ": a file needs a name, and no other owner")
	}
	if err := os.Chmod(temp.Name(), 0o644); err != nil {
		return nil, fmt.Errorf("storing the artifact of %s: %w", ref, err)
	}
	return s.commit(temp.Name(), record{
		Ref: ref, Revision: e.Revision, File: e.File, Metadata: e.Metadata,
		Digest: "sha256:" + hex.EncodeToString(hash.Sum(nil)), Size: counter.n,
	})
}
