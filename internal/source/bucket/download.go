package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/peyk/peyk/internal/git/ignore"
)

// concurrent is how many files are downloaded at the same time.
const concurrent = 16

// Download writes the files of an index to the empty folder dir, and returns the index of what it wrote: files that are
// gone since are not in it, and changed ones have their new tag.
func (b *Bucket) Download(ctx context.Context, index Index, dir string) (Index, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return index, fmt.Errorf("opening the folder for the files: %w", err)
	}
	defer root.Close()
	d := &download{bucket: b, root: root, written: Index{tags: map[string]string{}, ignore: index.ignore}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for _, key := range index.keys() {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			defer func() {
				if p := recover(); p != nil { // which would end the process: this is no goroutine of the pass
					err = fmt.Errorf("downloading %q: Peyk panicked: %v", key, p)
				}
			}()
			return d.file(ctx, key)
		})
	}
	if err := group.Wait(); err != nil {
		return index, err
	}
	if index.ignore != nil {
		if err := d.write(ignore.File, func(f io.Writer) error { _, err := f.Write(index.ignore); return err }); err != nil {
			return index, err
		}
	}
	return d.written, nil
}

// download is the work of writing many files at the same time.
type download struct {
	bucket *Bucket
	root   *os.Root

	mu      sync.Mutex
	written Index
	bytes   int64
}

func (d *download) file(ctx context.Context, key string) error {
	b := d.bucket
	// Content and tag are of one answer, so they belong together whatever is written to the bucket meanwhile.
	object, info, err := b.get(ctx, key)
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return nil
	}
	if err != nil {
		return b.explain(fmt.Sprintf("downloading %q of", key), err)
	}
	defer object.Close()
	if err := d.count(key, info); err != nil {
		return err
	}
	return d.write(key, func(f io.Writer) error {
		n, err := io.Copy(f, io.LimitReader(object, info.Size+1))
		if err != nil {
			return b.explain(fmt.Sprintf("downloading %q of", key), err)
		}
		if n != info.Size {
			return fmt.Errorf("downloading %q: %d bytes were announced, and %d arrived", key, info.Size, n)
		}
		return nil
	})
}

// get asks for an object, with one request.
func (b *Bucket) get(ctx context.Context, key string) (io.ReadCloser, minio.ObjectInfo, error) {
	object, info, _, err := minio.Core{Client: b.client}.GetObject(ctx, b.options.Name, key, minio.GetObjectOptions{})
	return object, info, err
}

// count adds a file to what is written, within the limits: it may have grown since it was listed.
func (d *download) count(key string, info minio.ObjectInfo) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += info.Size
	d.written.tags[key] = info.ETag
	return d.bucket.checkSize(key, info.Size, d.bytes, len(d.written.tags))
}

func (d *download) write(key string, fill func(io.Writer) error) error {
	if err := d.root.MkdirAll(path.Dir(key), 0o755); err != nil {
		return notWritten(key, err)
	}
	f, err := d.root.OpenFile(key, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return notWritten(key, err)
	}
	err = fill(f)
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("writing %s: %w", key, closeErr)
	}
	return err
}

// notWritten tells a bucket with a file and a folder of one name from a disk that does not work.
func notWritten(key string, err error) error {
	for _, clash := range []error{fs.ErrExist, syscall.ENOTDIR, syscall.EISDIR} {
		if errors.Is(err, clash) {
			return fmt.Errorf("%w both a file and a folder on the way to %q; leave one out with spec.ignore", ErrRefused, key)
		}
	}
	return fmt.Errorf("writing %s: %w", key, err)
}
