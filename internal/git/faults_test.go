package git_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/testkit"
)

// badServer serves the fixture's repositories, and changes what it says of packs.
func (f *fixture) badServer(answer func(w http.ResponseWriter, req *http.Request, pack []byte)) git.Remote {
	f.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			f.server.Config.Handler.ServeHTTP(w, req)
			return
		}
		good := httptest.NewRecorder()
		f.server.Config.Handler.ServeHTTP(good, req)
		w.Header().Set("Content-Type", good.Header().Get("Content-Type"))
		answer(w, req, good.Body.Bytes())
	}))
	f.Cleanup(server.Close)
	return git.Remote{URL: server.URL + "/app.git"}
}

func TestServersThatSendNonsense(t *testing.T) {
	f := newFixture(t)
	files := map[string]string{"a": "1"}
	for i := range 200 {
		files[fmt.Sprintf("d%d/f", i)] = strings.Repeat(fmt.Sprint(i*i), 100)
	}
	f.repo.Commit("main", "first", files)
	for name, answer := range map[string]func(w http.ResponseWriter, req *http.Request, pack []byte){
		"nothing":   func(http.ResponseWriter, *http.Request, []byte) {},
		"half":      func(w http.ResponseWriter, _ *http.Request, pack []byte) { _, _ = w.Write(pack[:len(pack)/2]) },
		"a page":    func(w http.ResponseWriter, _ *http.Request, _ []byte) { _, _ = w.Write([]byte("<html>")) },
		"noise":     func(w http.ResponseWriter, _ *http.Request, pack []byte) { _, _ = w.Write(scramble(pack)) },
		"one error": func(w http.ResponseWriter, _ *http.Request, pack []byte) { _, _ = w.Write(flip(pack)) },
		"a failure": func(w http.ResponseWriter, _ *http.Request, _ []byte) {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request, pack []byte) {
			_, _ = w.Write(pack[:len(pack)/2])
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			remote := f.badServer(answer)
			if _, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{}); err == nil {
				t.Fatal("no error")
			} else if len(err.Error()) > 1000 || !strings.Contains(err.Error(), "/app.git") {
				t.Errorf("the error is of no use: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(f.dir, "tmp", "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	// What bad servers sent is in nobody's way.
	equal(t, f.must(git.Reference{Branch: "main"}).Files, files)
}

func scramble(pack []byte) []byte {
	noise := bytes.Clone(pack)
	for i := len(noise) / 3; i < len(noise); i++ {
		noise[i] ^= byte(i * 31)
	}
	return noise
}

func flip(pack []byte) []byte {
	wrong := bytes.Clone(pack)
	wrong[len(wrong)*2/3] ^= 0x40
	return wrong
}

// TestServersThatStop checks that a fetch ends with its context, wherever the server stops.
func TestServersThatStop(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": strings.Repeat("some text", 10_000)})
	for name, sent := range map[string]int{"before the pack": 0, "in the pack": 100} {
		t.Run(name, func(t *testing.T) {
			remote := f.badServer(func(w http.ResponseWriter, req *http.Request, pack []byte) {
				_, _ = w.Write(pack[:sent])
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			c, err := f.mirrors.Connect(ctx, remote)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			rev, err := c.Resolve(ctx, git.Reference{Branch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			err = c.Fetch(ctx, rev)
			wantError(t, err, git.Unreachable, "in time")
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestServersThatNeverEnd checks that what a server may send is bounded, in time and on disk.
func TestServersThatNeverEnd(t *testing.T) {
	f := newFixture(t)
	f.repo.Commit("main", "first", map[string]string{"a": "1"})
	limits := git.DefaultLimits()
	limits.PackBytes = 1 << 20
	f.open(limits)
	remote := f.badServer(func(w http.ResponseWriter, req *http.Request, _ []byte) {
		_, _ = w.Write([]byte("0008NAK\n"))
		packet := append([]byte("ea65\x01"), make([]byte, 60_000)...)
		copy(packet[5:], "PACK\x00\x00\x00\x02\x00\xff\xff\xff")
		for req.Context().Err() == nil {
			if _, err := w.Write(packet); err != nil {
				return
			}
		}
	})
	_, err := checkout(t, f.mirrors, remote, git.Reference{Branch: "main"}, git.Tree{})
	wantError(t, err, git.Refused, "more than is allowed")
}

func TestNamesOfEveryKind(t *testing.T) {
	f := newFixture(t)
	files := map[string]string{
		"ünïcode/日本語.yaml": "1", "e\u0301/decomposed": "2", "é/composed": "3", "emoji-🚀/файл.txt": "4", " leading and trailing ": "5",
		"quote\"'`$(x)": "6", "line\nbreak": "7", "-rf": "8", "percent%2e%2e": "9", "aux.con.nul": "10", "~root": "11", "\x01control": "12",
		strings.Repeat("long", 60): "13",
	}
	f.repo.Git("config", "core.precomposeUnicode", "false")
	f.repo.Commit("main", "Überraschung 🚀", files)
	f.repo.Git("branch", "feature/ünï-🚀", "main")
	f.repo.Git("tag", "v1.0.0-ünï", "main")
	for _, ref := range []git.Reference{{Branch: "feature/ünï-🚀"}, {Tag: "v1.0.0-ünï"}, {Name: "refs/heads/feature/ünï-🚀"}} {
		got := f.must(ref)
		equal(t, got.Files, files)
		equal(t, got.Subject, "Überraschung 🚀")
	}
}

// TestLargeRepository measures what a large repository costs: 20 000 files of 200 MB together with PEYK_FAULTS=full, and
// a tenth of the files otherwise. The bounds are a few times what was measured.
func TestLargeRepository(t *testing.T) {
	files, size, memory, longest := 2000, 1000, int64(300<<20), 30*time.Second
	if testkit.Full() {
		files, size, memory, longest = 20_000, 10_500, 1<<30, 3*time.Minute
	}
	f := newFixture(t)
	random := rand.NewChaCha8([32]byte{1})
	var script strings.Builder
	script.WriteString("commit refs/heads/main\ncommitter Ada <ada@example.org> 1767323045 +0000\ndata 5\nlarge\n")
	content := make([]byte, size)
	for i := range files {
		_, _ = random.Read(content)
		fmt.Fprintf(&script, "M 100644 inline apps/%d/%d.bin\ndata %d\n%s\n", i%100, i, size, content)
	}
	f.repo.GitInput(script.String(), "fast-import", "--quiet")
	script.Reset()

	measure := func(what string) int {
		t.Helper()
		peak := watchMemory(t)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), longest)
		defer cancel()
		c, err := f.mirrors.Connect(ctx, f.remote)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		rev, err := c.Resolve(ctx, git.Reference{Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if _, err := c.Checkout(ctx, rev, dir, git.Tree{}); err != nil {
			t.Fatalf("%s: after %s: %v", what, time.Since(start), err)
		}
		used := peak()
		t.Logf("%s: %s, at most %d MiB more memory", what, time.Since(start).Round(time.Millisecond), used>>20)
		if used > memory {
			t.Errorf("%s takes %d MiB of memory", what, used>>20)
		}
		found := 0
		_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, _ error) error {
			if entry.Type().IsRegular() {
				found++
			}
			return nil
		})
		return found
	}
	equal(t, measure("the first fetch"), files)
	f.repo.GitInput("commit refs/heads/main\ncommitter Ada <ada@example.org> 1767323046 +0000\ndata 5\nsmall\nfrom refs/heads/main^0\nM 100644 inline apps/0/0.bin\ndata 3\nnew\n", "fast-import", "--quiet")
	equal(t, measure("a commit of one file"), files)
}

// watchMemory returns a function that says by how much the memory of this process grew at most since.
func watchMemory(t *testing.T) func() int64 {
	t.Helper()
	debug.FreeOSMemory()
	// 5 makes the kernel forget the highest mark so far.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := highMark(t)
	return func() int64 { return highMark(t) - before }
}

func highMark(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	kilobytes, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
