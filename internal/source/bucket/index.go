package bucket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/peyk/peyk/internal/git/ignore"
)

// Index is what a bucket holds, without what is left out.
type Index struct {
	// tags are the tags of the content, by key.
	tags map[string]string
	// ignore is the ignore file at the bucket's root, nil where there is none.
	ignore []byte
}

// Revision names the content as Flux does: the digest of the sorted lines "key tag".
func (i Index) Revision() string {
	hash := sha256.New()
	for _, key := range i.keys() {
		fmt.Fprintf(hash, "%s %s\n", key, i.tags[key])
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

func (i Index) keys() []string { return slices.Sorted(maps.Keys(i.tags)) }

// Len is how many files there are.
func (i Index) Len() int { return len(i.tags) }

// List asks what the bucket holds. The ignore file at its root and then extra say what is left out.
func (b *Bucket) List(ctx context.Context, extra string) (Index, error) {
	index := Index{tags: map[string]string{}}
	var err error
	if index.ignore, err = b.ignoreFile(ctx); err != nil {
		return index, err
	}
	rules := ignore.Plain(string(index.ignore), extra)
	// The listing goes on in the background until its context ends.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, total := 0, int64(0)
	for object := range b.client.ListObjects(ctx, b.options.Name, minio.ListObjectsOptions{Prefix: b.options.Prefix, Recursive: true}) {
		if object.Err != nil {
			return index, b.explain("listing", object.Err)
		}
		if seen++; seen > b.options.Limits.Keys {
			return index, fmt.Errorf("%w more than %d keys; narrow it down with spec.prefix", ErrRefused, b.options.Limits.Keys)
		}
		key := object.Key
		if strings.HasSuffix(key, "/") || key == ignore.File || rules.Excludes(strings.Split(key, "/")) {
			continue
		}
		if err := checkKey(key); err != nil {
			return index, err
		}
		index.tags[key] = object.ETag
		total += object.Size
		if err := b.checkSize(key, object.Size, total, len(index.tags)); err != nil {
			return index, err
		}
	}
	// A listing that was given up on looks like one that came to its end.
	if err := ctx.Err(); err != nil {
		return index, b.explain("listing", err)
	}
	return index, nil
}

// ErrRefused is the error of a bucket that must not be read, whoever asks: it is too large, or has keys that no file may
// have.
var ErrRefused = errors.New("the bucket is refused: it has")

func (b *Bucket) checkSize(key string, size, total int64, files int) error {
	const remedy = "leave some out with spec.ignore or spec.prefix"
	switch limits := b.options.Limits; {
	case files > limits.Files:
		return fmt.Errorf("%w more than %d files; %s", ErrRefused, limits.Files, remedy)
	case size > limits.FileBytes:
		return fmt.Errorf("%w the file %q with %d bytes, more than %d; %s", ErrRefused, key, size, limits.FileBytes, remedy)
	case total > limits.Bytes:
		return fmt.Errorf("%w files with more than %d bytes together; %s", ErrRefused, limits.Bytes, remedy)
	}
	return nil
}

// checkKey refuses keys that are no path of a file below a folder.
func checkKey(key string) error {
	elements := strings.Split(key, "/")
	bad := len(elements) > maxDepth || strings.ContainsAny(key, "\\\x00")
	for _, element := range elements {
		bad = bad || element == "" || element == "." || element == ".." || len(element) > 255
	}
	if bad {
		return fmt.Errorf("%w the key %q, which cannot be the name of a file; leave it out with spec.ignore or spec.prefix", ErrRefused, key)
	}
	return nil
}

// maxDepth is how deep folders may be nested.
const maxDepth = 128

// ignoreFile reads the ignore file at the bucket's root, which the prefix does not move.
func (b *Bucket) ignoreFile(ctx context.Context) ([]byte, error) {
	object, _, err := b.get(ctx, ignore.File)
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil, nil
	}
	if err != nil {
		return nil, b.explain("reading "+ignore.File+" of", err)
	}
	defer object.Close()
	const longest = 1 << 20
	text, err := io.ReadAll(io.LimitReader(object, longest+1))
	switch {
	case err != nil:
		return nil, b.explain("reading "+ignore.File+" of", err)
	case len(text) > longest:
		return nil, fmt.Errorf("%w the file %s with more than %d bytes", ErrRefused, ignore.File, longest)
	}
	return text, nil
}
