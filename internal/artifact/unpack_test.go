package artifact

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func regular(name, content string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: content, Mode: 0o644}
}

// archiveOf writes the entries; the content of a file is in its Linkname.
func archiveOf(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, e := range entries {
		content := ""
		if e.Typeflag == tar.TypeReg {
			content, e.Linkname = e.Linkname, ""
			e.Size = int64(len(content))
		}
		if err := archive.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpacked(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		info, infoErr := entry.Info()
		files[rel] = string(content)
		if infoErr == nil && info.Mode()&0o111 != 0 {
			files[rel] += " (executable)"
		}
		return errors.Join(err, infoErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	program := regular("bin/run.sh", "run")
	program.Mode = 0o4755
	data := archiveOf(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "x"}},
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "deploy/", Mode: 0o700},
		regular("./deploy/a.yaml", "a"), regular("deploy/a.yaml", "again"), regular("no/folder/entry/b.yaml", "b"),
		regular("ünïcode/日本.yaml", "ja"), regular("dots/..a/b..", "dots"), program,
		tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: "/etc/passwd"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "deploy/up", Linkname: "../.."},
	)
	if err := Unpack(bytes.NewReader(data), dir, DefaultUnpackLimits()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"deploy/a.yaml": "again", "no/folder/entry/b.yaml": "b", "ünïcode/日本.yaml": "ja", "dots/..a/b..": "dots",
		"bin/run.sh": "run (executable)",
	}
	if diff := cmp.Diff(want, unpacked(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestUnpackRefuses(t *testing.T) {
	limits := UnpackLimits{Files: 3, FileBytes: 1000, Bytes: 1500}
	good := archiveOf(t, regular("a", strings.Repeat("x", 900)))
	large := strings.Repeat("x", 800)
	for name, data := range map[string][]byte{
		"climbs":              archiveOf(t, regular("../evil", "x")),
		"climbs in the end":   archiveOf(t, regular("a/../../evil", "x")),
		"climbs and returns":  archiveOf(t, regular("a/../b", "x")),
		"absolute":            archiveOf(t, regular("/evil", "x")),
		"backslash":           archiveOf(t, regular(`..\evil`, "x")),
		"through a link":      archiveOf(t, regular("a", "x"), regular("a/evil", "x")),
		"hard link":           archiveOf(t, regular("a", "x"), tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "a"}),
		"device":              archiveOf(t, tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}),
		"pipe":                archiveOf(t, tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}),
		"long name":           archiveOf(t, regular(strings.Repeat("n", 256), "x")),
		"deep":                archiveOf(t, regular(strings.Repeat("d/", 200)+"x", "x")),
		"a folder and a file": archiveOf(t, tar.Header{Typeflag: tar.TypeDir, Name: "a/"}, regular("a", "x")),
		"many entries":        archiveOf(t, regular("a", ""), regular("b", ""), regular("c", ""), regular("d", "")),
		"a large file":        archiveOf(t, regular("a", strings.Repeat("x", 1001))),
		"large together":      archiveOf(t, regular("a", large), regular("b", large)),
		"headers": archiveOf(t, tar.Header{
			Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("x", 900<<10)},
		}),
		"cut off":        good[:len(good)-20],
		"no checksum":    append(bytes.Clone(good[:len(good)-8]), 1, 2, 3, 4, 5, 6, 7, 8),
		"scrambled":      append(bytes.Clone(good[:12]), bytes.Repeat([]byte{0xff}, 50)...),
		"not an archive": []byte("<html>"),
		"empty":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "in", "tree")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := Unpack(bytes.NewReader(data), dir, limits); !errors.Is(err, ErrRefused) {
				t.Errorf("not refused: %v", err)
			}
			for file := range unpacked(t, parent) {
				if !strings.HasPrefix(file, "in/tree/") {
					t.Errorf("%s was written outside", file)
				}
			}
		})
	}
	if err := Unpack(bytes.NewReader(good), t.TempDir(), limits); err != nil {
		t.Errorf("what is within the limits: %v", err)
	}
}

// TestUnpackKeepsTheErrorOfItsReader checks that a broken connection is not taken for a broken archive.
func TestUnpackKeepsTheErrorOfItsReader(t *testing.T) {
	broken := errors.New("connection reset")
	data := archiveOf(t, regular("a", strings.Repeat("abcdefg", 10_000)))
	r := io.MultiReader(bytes.NewReader(data[:len(data)/2]), failing{broken})
	err := Unpack(r, t.TempDir(), DefaultUnpackLimits())
	if !errors.Is(err, broken) || errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
