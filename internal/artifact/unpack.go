package artifact

import (
	"archive/tar"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// UnpackLimits bound what an archive may unfold to.
type UnpackLimits struct {
	// Files is how many entries an archive may have, folders included.
	Files int
	// FileBytes is the largest file, Bytes the largest sum of all files.
	FileBytes, Bytes int64
}

// DefaultUnpackLimits are those of Git repositories.
func DefaultUnpackLimits() UnpackLimits {
	return UnpackLimits{Files: 100_000, FileBytes: 128 << 20, Bytes: 1 << 30}
}

// ErrRefused is what Unpack fails with when it is the archive that is wrong: it is none, it is damaged, it leads out of
// its folder, or it unfolds to more than the limits allow.
var ErrRefused = errors.New("the archive is refused")

// maxUnpackDepth is how deep folders may be nested.
const maxUnpackDepth = 128

// Unpack writes a .tar.gz to the folder dir. Symbolic links are left out, for nobody may follow them; names that lead out
// of dir, hard links and devices are refused. An error leaves a part of the files behind. Nothing that the archive says
// about owners and times is kept, and of the modes only whether a file is executable.
func Unpack(r io.Reader, dir string, limits UnpackLimits) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the folder for an archive: %w", err)
	}
	defer root.Close()
	zip, err := gzip.NewReader(r)
	if err != nil {
		return unreadable(err)
	}
	defer zip.Close()
	// Beside its content an entry has headers: what they may unfold to is bounded too.
	const headers = 4 << 10
	plain := &boundedReader{r: zip, left: limits.Bytes + int64(limits.Files)*headers + headers}
	u := &unpacker{root: root, limits: limits}
	if err := u.entries(tar.NewReader(plain)); err != nil {
		return err
	}
	// The checksum is at the end, behind the padding.
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return unreadable(err)
	}
	return nil
}

type unpacker struct {
	root   *os.Root
	limits UnpackLimits
	files  int
	bytes  int64
}

func (u *unpacker) entries(archive *tar.Reader) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
		if u.files++; u.files > u.limits.Files {
			return fmt.Errorf("%w: it has more than %d entries", ErrRefused, u.limits.Files)
		}
		if err := u.entry(header, archive); err != nil {
			return err
		}
	}
}

func (u *unpacker) entry(header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := entryName(header.Name)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		return nil
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(name, header, content)
	}
	return fmt.Errorf("%w: %q is neither a file nor a folder", ErrRefused, header.Name)
}

// entryName gives the name of an entry its one spelling.
func entryName(name string) (string, error) {
	clean := path.Clean(name)
	elements := strings.Split(name, "/")
	switch {
	case name == "", strings.HasPrefix(name, "/"), strings.ContainsAny(name, "\\\x00"):
		return "", fmt.Errorf("%w: the name %q is not allowed", ErrRefused, name)
	case len(elements) > maxUnpackDepth:
		return "", fmt.Errorf("%w: it nests folders more than %d deep", ErrRefused, maxUnpackDepth)
	}
	for _, element := range elements {
		if element == ".." || len(element) > 255 {
			return "", fmt.Errorf("%w: the name %q leads out of it or is too long", ErrRefused, name)
		}
	}
	return clean, nil
}

func (u *unpacker) folder(name string) error {
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return notWritten(name, err)
	}
	return nil
}

func (u *unpacker) file(name string, header *tar.Header, content io.Reader) error {
	if header.Size > u.limits.FileBytes {
		return fmt.Errorf("%w: the file %s has %d bytes, more than %d", ErrRefused, name, header.Size, u.limits.FileBytes)
	}
	if u.bytes += header.Size; u.bytes > u.limits.Bytes {
		return fmt.Errorf("%w: its files have more than %d bytes together", ErrRefused, u.limits.Bytes)
	}
	if err := u.folder(path.Dir(name)); err != nil {
		return err
	}
	// An archive that somebody added to holds a file twice; the last one counts.
	if info, err := u.root.Lstat(name); err == nil && info.Mode().IsRegular() {
		if err := u.root.Remove(name); err != nil {
			return notWritten(name, err)
		}
	}
	mode := fs.FileMode(0o644)
	if header.Mode&0o100 != 0 {
		mode = 0o755
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return notWritten(name, err)
	}
	source := &entryReader{r: content}
	_, err = io.Copy(f, source)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if source.err != nil {
		return unreadable(source.err)
	}
	if err != nil {
		return notWritten(name, err)
	}
	return nil
}

// notWritten tells an archive that contradicts itself, with a folder and a file of one name, from a disk that does not
// work.
func notWritten(name string, err error) error {
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: it has both a folder and a file %q", ErrRefused, name)
	}
	return fmt.Errorf("unpacking %s: %w", name, err)
}

// unreadable is the error of a damaged archive; where it was the reader below that failed, its error is kept.
func unreadable(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	for _, broken := range []error{gzip.ErrHeader, gzip.ErrChecksum, tar.ErrHeader, io.ErrUnexpectedEOF, io.EOF, errUnfolds} {
		if corrupt || errors.Is(err, broken) {
			return fmt.Errorf("%w: it is not a .tar.gz, or it is damaged: %w", ErrRefused, err)
		}
	}
	return fmt.Errorf("reading an archive: %w", err)
}

var errUnfolds = errors.New("it unfolds to more than is allowed")

// boundedReader fails, rather than ends, where there is more than is allowed.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errUnfolds
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// entryReader remembers that it was the reading which failed.
type entryReader struct {
	r   io.Reader
	err error
}

func (e *entryReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}
