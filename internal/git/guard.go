package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// checkPack looks at what a pack declares and refuses objects that no limit allows. Without it a few bytes of a hostile
// pack could fill the memory: a delta may unfold to any size, and the parser unfolds it before anybody is asked.
func checkPack(ctx context.Context, pack *os.File, limits Limits, address string) error {
	if _, err := pack.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("checking a pack: %w", err)
	}
	scanner := packfile.NewScanner(pack)
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("checking a pack: %w", err)
	}
	for range count {
		if err := inTime(ctx); err != nil {
			return err
		}
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return fmt.Errorf("checking a pack: %w", err)
		}
		size := header.Length
		if header.Type.IsDelta() && size <= limits.FileBytes {
			start := &startWriter{}
			if _, _, err := scanner.NextObject(start); err != nil {
				return fmt.Errorf("checking a pack: %w", err)
			}
			size = start.targetSize()
		}
		if size > limits.FileBytes || size < 0 {
			return errorf(Refused, "reading %s: the repository holds an object of more than %s; this is refused", address, sizeOf(limits.FileBytes))
		}
	}
	return nil
}

// startWriter keeps the start of a delta: two numbers of at most ten bytes each.
type startWriter struct {
	buf [20]byte
	n   int
}

func (s *startWriter) Write(p []byte) (int, error) {
	s.n += copy(s.buf[s.n:], p)
	return len(p), nil
}

// targetSize is the second of the numbers: how large the object is that the delta unfolds to.
func (s *startWriter) targetSize() int64 {
	rest := s.buf[:s.n]
	_, rest = number(rest)
	size, _ := number(rest)
	return size
}

// number reads seven bits a byte, the lowest first, for as long as the eighth bit is set.
func number(p []byte) (int64, []byte) {
	var value int64
	for i, b := range p {
		if i == 9 {
			return -1, nil
		}
		value |= int64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			return value, p[i+1:]
		}
	}
	return value, nil
}

// errLate says that the time ended over what the server had sent already.
var errLate = errors.New("unpacking the repository and writing its files takes longer than spec.timeout; raise it, or leave files out with spec.ignore or spec.sparseCheckout")

// inTime is ctx.Err() for work of Peyk's own, where the server is not to blame.
func inTime(ctx context.Context) error {
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errLate
}

// stopper ends the parser when the time is over.
type stopper struct{ ctx context.Context }

func (s stopper) OnHeader(uint32) error { return nil }

func (s stopper) OnInflatedObjectHeader(plumbing.ObjectType, int64, int64) error {
	return inTime(s.ctx)
}

func (s stopper) OnInflatedObjectContent(plumbing.Hash, int64, uint32, []byte) error {
	return inTime(s.ctx)
}

func (s stopper) OnFooter(plumbing.Hash) error { return nil }
