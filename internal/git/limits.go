package git

import (
	"errors"
	"fmt"
	"io"
)

// Limits bound what a repository may cost. A repository beyond them is refused with an error that names the limit.
type Limits struct {
	// Files is how many files a tree may have.
	Files int
	// FileBytes is the largest file, TreeBytes the largest sum of all files.
	FileBytes, TreeBytes int64
	// PackBytes is the most that one fetch may receive.
	PackBytes int64
}

// DefaultLimits are generous for manifests and sources, and small enough to protect the process.
func DefaultLimits() Limits {
	return Limits{Files: 100_000, FileBytes: 128 << 20, TreeBytes: 1 << 30, PackBytes: 2 << 30}
}

const (
	// advertisementBytes bounds the list of references: about a million of them.
	advertisementBytes = 96 << 20
	// errorBytes bounds the body of an error response.
	errorBytes = 16 << 10
)

var errTooLong = errors.New("the server sends more than is allowed")

// limit reads at most n bytes and fails, rather than ends, where there is more.
func limit(r io.ReadCloser, n int64) io.ReadCloser { return &limitedReader{ReadCloser: r, left: n} }

type limitedReader struct {
	io.ReadCloser
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, errTooLong
	}
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n - 1, errTooLong
	}
	return n, err
}

// sizeOf writes a size for people.
func sizeOf(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= unit.size && n%unit.size == 0 {
			return fmt.Sprintf("%d %s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
