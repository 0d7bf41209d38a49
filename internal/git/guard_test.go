package git

import (
	gobytes "bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// packWithDelta writes a pack of a base of four bytes and a delta that says it unfolds to the given size.
func packWithDelta(t *testing.T, target uint64) *os.File {
	t.Helper()
	deflate := func(data []byte) []byte {
		var out gobytes.Buffer
		w := zlib.NewWriter(&out)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	const blob, offsetDelta = 3, 6
	base := append([]byte{blob<<4 | 4}, deflate([]byte("base"))...)
	delta := append(binary.AppendUvarint([]byte{4}, target), 0x90, 4)
	pack := append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x02"), base...)
	pack = append(pack, offsetDelta<<4|byte(len(delta)), byte(len(base)))
	pack = append(pack, deflate(delta)...)
	sum := sha1.Sum(pack)
	name := filepath.Join(t.TempDir(), "pack")
	if err := os.WriteFile(name, append(pack, sum[:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestDeltasThatUnfoldTooFarAreRefused(t *testing.T) {
	limits := DefaultLimits()
	for _, tt := range []struct {
		target  uint64
		refused bool
	}{
		{4, false}, {uint64(limits.FileBytes), false}, {uint64(limits.FileBytes) + 1, true}, {1 << 40, true}, {1 << 63, true}, {1<<64 - 1, true},
	} {
		err := checkPack(t.Context(), packWithDelta(t, tt.target), limits, "https://example.org/app")
		if refused := KindOf(err) == Refused; refused != tt.refused {
			t.Errorf("a delta to %d bytes: %v", tt.target, err)
		}
	}
	half := packWithDelta(t, 4)
	if err := os.Truncate(half.Name(), 20); err != nil {
		t.Fatal(err)
	}
	if err := checkPack(t.Context(), half, limits, ""); err == nil {
		t.Error("half a pack is accepted")
	}
}

// TestTimeThatEndsHere has all that the server was asked for, and too little time to unpack it.
func TestTimeThatEndsHere(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	err := explain(ctx, Remote{URL: "https://example.org/app"}, checkPack(ctx, packWithDelta(t, 4), DefaultLimits(), ""))
	if KindOf(err) != Failed || err.Error() != "reading https://example.org/app: "+errLate.Error() {
		t.Errorf("it is called %v", err)
	}
}
