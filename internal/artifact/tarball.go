package artifact

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

func fileMode(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// pack writes the tree below dir to file as a tarball and returns its digest and size. Names are sorted and owners and
// times are zero: equal trees give equal bytes.
func pack(ctx context.Context, dir, file string) (digest string, size int64, err error) {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", 0, err
	}
	digest, size, err = archive(ctx, dir, out)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return digest, size, err
}

func archive(ctx context.Context, dir string, to io.Writer) (digest string, size int64, err error) {
	hash := sha256.New()
	counter := &countingWriter{to: io.MultiWriter(to, hash)}
	zip, err := gzip.NewWriterLevel(counter, gzip.BestSpeed)
	if err != nil {
		return "", 0, err
	}
	tarball := tar.NewWriter(zip)
	if err := addTree(ctx, tarball, dir); err != nil {
		return "", 0, err
	}
	if err := tarball.Close(); err != nil {
		return "", 0, err
	}
	if err := zip.Close(); err != nil {
		return "", 0, err
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), counter.n, nil
}

func digestOf(file string) (string, error) {
	hash := sha256.New()
	if err := copyFile(hash, file); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}

// addTree archives what is below dir. On its way it removes what an artifact never holds, symbolic links and special
// files, and gives everything else the same mode whoever made it.
func addTree(ctx context.Context, tarball *tar.Writer, dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !entry.IsDir() && !entry.Type().IsRegular() {
			return os.Remove(name)
		}
		header, err := describe(dir, name, entry)
		if err != nil || header.Name == "./" {
			return err
		}
		if err := tarball.WriteHeader(header); err != nil || entry.IsDir() {
			return err
		}
		return copyFile(tarball, name)
	})
}

func describe(dir, name string, entry fs.DirEntry) (*tar.Header, error) {
	rel, err := filepath.Rel(dir, name)
	if err != nil {
		return nil, err
	}
	info, err := entry.Info()
	if err != nil {
		return nil, err
	}
	header := &tar.Header{Name: filepath.ToSlash(rel), Format: tar.FormatPAX, Typeflag: tar.TypeReg, Size: info.Size()}
	mode := fileMode(info)
	if entry.IsDir() {
		header.Name, header.Typeflag, header.Size, mode = header.Name+"/", tar.TypeDir, 0, 0o755
	}
	header.Mode = int64(mode)
	if info.Mode().Perm() != mode {
		return header, os.Chmod(name, mode)
	}
	return header, nil
}

func copyFile(to io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(to, f); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Base(name), err)
	}
	return nil
}

type countingWriter struct {
	to io.Writer
	n  int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}
