package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// people commit to the repository with stock git: to files of their own, and to those of Packs.
type people struct {
	repo   string
	mu     sync.Mutex
	pushed []string
}

func (h *people) made() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.pushed)
}

func (h *people) git(args ...string) error {
	cmd := exec.Command("git", args...)
	cmd.Dir = h.repo
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org", "GIT_TERMINAL_PROMPT=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// work makes commits until there are so many, or ctx ends.
func (h *people) work(ctx context.Context, t *testing.T, most int, p *place) {
	for i := 0; i < most && ctx.Err() == nil; i++ {
		file, text := fmt.Sprintf("notes/%d.md", i), fmt.Sprintf("note %d\n", i)
		if i%3 == 0 {
			// The end of a Pack's file, whose middle CI changes.
			file, text = p.packs[i%len(p.packs)].file, fmt.Sprintf("# note %d\n", i)
		}
		subject := fmt.Sprintf("Note %d", i)
		if err := h.commit(ctx, file, text, subject); err != nil {
			if ctx.Err() == nil {
				t.Errorf("a human could not commit: %v", err)
			}
			return
		}
		h.mu.Lock()
		h.pushed = append(h.pushed, subject)
		h.mu.Unlock()
		pause(ctx, 50*time.Millisecond)
	}
}

// commit adds a line to a file and pushes, on top of what is there, until nobody is faster.
func (h *people) commit(ctx context.Context, file, text, subject string) error {
	if err := h.git("pull", "--quiet", "--rebase"); err != nil {
		return err
	}
	path := filepath.Join(h.repo, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close(), h.git("add", "--all"), h.git("commit", "--quiet", "-m", subject)); err != nil {
		return err
	}
	for {
		err := h.git("push", "--quiet")
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := h.git("pull", "--quiet", "--rebase"); err != nil {
			return err
		}
	}
}

// check looks for every commit of a human, and for what it added.
func (h *people) check(t *testing.T, p *place) {
	t.Helper()
	count := map[string]int{}
	for line := range strings.Lines(p.repo.Git("log", "--format=%s", "main")) {
		count[strings.TrimSpace(line)]++
	}
	for i, subject := range h.pushed {
		file, text := fmt.Sprintf("notes/%d.md", i), fmt.Sprintf("note %d", i)
		if i%3 == 0 {
			file = p.packs[i%len(p.packs)].file
		}
		if count[subject] != 1 || !strings.Contains(p.repo.Git("show", "main:"+file)+"\n", text+"\n") {
			t.Errorf("%q is in the history %d times, and its line in %s: %v", subject, count[subject], file, count[subject] == 1)
		}
	}
	if len(h.pushed) == 0 {
		t.Error("no human could commit at all")
	}
}

func clone(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, (&people{repo: dir}).git("clone", "--quiet", url, "."))
	return dir
}

// rawPushes measures how many commits a second stock git pushes to the server, one after the other.
func rawPushes(t *testing.T, p *place) float64 {
	t.Helper()
	h := &people{repo: clone(t, p.url)}
	const count = 10
	var pushing time.Duration
	for i := range count {
		check(t, h.git("commit", "--quiet", "--allow-empty", "-m", fmt.Sprintf("floor %d", i)))
		began := time.Now()
		check(t, h.git("push", "--quiet"))
		pushing += time.Since(began)
	}
	return count / pushing.Seconds()
}
