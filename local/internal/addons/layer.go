package addons

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// programLayer is an image layer with one program at its root. It is read from the program's file as it is wanted, and not
// compressed: it never leaves the machine. Equal programs make equal layers.
type programLayer struct {
	path   string
	size   int64 // of the program, in bytes
	digest v1.Hash
}

// tarBlock is the size to which tar archives pad their members, in bytes.
const tarBlock = 512

func newProgramLayer(path string) (*programLayer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a program: %w", err)
	}
	l := &programLayer{path: path, size: info.Size()}
	r, err := l.Uncompressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	l.digest = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	return l, nil
}

// Digest implements v1.Layer.
func (l *programLayer) Digest() (v1.Hash, error) { return l.digest, nil }

// DiffID implements v1.Layer.
func (l *programLayer) DiffID() (v1.Hash, error) { return l.digest, nil }

// MediaType implements v1.Layer.
func (l *programLayer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Compressed implements v1.Layer.
func (l *programLayer) Compressed() (io.ReadCloser, error) { return l.Uncompressed() }

// Size implements v1.Layer: header, padded program, and the two empty blocks that end an archive.
func (l *programLayer) Size() (int64, error) {
	return tarBlock + l.size + l.padding() + 2*tarBlock, nil
}

func (l *programLayer) padding() int64 { return (tarBlock - l.size%tarBlock) % tarBlock }

// Uncompressed implements v1.Layer.
func (l *programLayer) Uncompressed() (io.ReadCloser, error) {
	var header bytes.Buffer
	h := &tar.Header{Name: filepath.Base(l.path), Mode: 0o755, Size: l.size, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
	if err := tar.NewWriter(&header).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("writing a layer: %w", err)
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("reading a program: %w", err)
	}
	end := bytes.NewReader(make([]byte, l.padding()+2*tarBlock))
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&header, f, end), f}, nil
}
