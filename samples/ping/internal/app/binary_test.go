package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/peyk/peyk/samples/ping/internal/testkit"
)

// buildBinary builds the program as the Dockerfile does.
func buildBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ping")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=1a2b3c4", "-o", path, ".")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v: %s", err, out)
	}
	return path
}

type program struct {
	cmd *exec.Cmd
	log *buffer
}

func run(t *testing.T, path string, env map[string]string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(path), log: &buffer{}}
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			// It has been asked to end and did not: the test has failed already.
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

func TestBinary(t *testing.T) {
	t.Parallel()
	path := buildBinary(t)
	t.Run("is small", func(t *testing.T) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		const limit = 19_000_000
		if info.Size() > limit {
			t.Errorf("the program has %d bytes; the image, which holds little else, must stay under 20 MB", info.Size())
		}
	})
	t.Run("refuses bad settings", func(t *testing.T) { refusesBadSettings(t, path) })
	t.Run("reports bad settings to Sentry", func(t *testing.T) { reportsBadSettings(t, path) })
	t.Run("stops in order", func(t *testing.T) {
		t.Parallel()
		stopsInOrder(t, path)
	})
	t.Run("does not need Sentry", func(t *testing.T) {
		t.Parallel()
		doesNotNeedSentry(t, path)
	})
}

func refusesBadSettings(t *testing.T, path string) {
	p := run(t, path, map[string]string{"POSTGRES_URI": "postgres://user:s3cret@host:port/db"})
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	log := p.log.String()
	for _, want := range []string{"SENTRY_DSN is not set: set it to https://KEY@HOST/PROJECT", "REDIS_URI is not set: set it to redis://:PASSWORD@HOST:6379/",
		"POSTGRES_URI is malformed: it cannot be read", "it looks like postgres://USER:PASSWORD@HOST:5432/DATABASE"} {
		if !strings.Contains(log, want) {
			t.Errorf("it does not say %q: %s", want, log)
		}
	}
	if strings.Count(log, "\n") != 1 || strings.Contains(log, "s3cret") {
		t.Errorf("not one line without secrets: %s", log)
	}
}

func reportsBadSettings(t *testing.T, path string) {
	sentry := testkit.StartSentry(t)
	p := run(t, path, map[string]string{"SENTRY_DSN": sentry.DSN, "PORT": "http"})
	if err := p.cmd.Wait(); err == nil {
		t.Error("it ended well")
	}
	sentry.Await(t, "REDIS_URI is not set", "POSTGRES_URI is not set", "PORT is malformed", "ping@1a2b3c4")
}

// After SIGTERM the program first says that it is not ready, answers what it has begun, and then ends well.
func stopsInOrder(t *testing.T, path string) {
	w := newWorld(t)
	p, r := w.program(t, path)

	var status int
	var err error
	answered := make(chan struct{})
	w.postgres.Do(t, func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "LOCK TABLE pings"); err != nil {
			return err
		}
		go func() {
			defer close(answered)
			status, _, err = tryFetch(r.url + "/ping")
		}()
		testkit.Eventually(t, "the request waits for the database", func() error {
			var waiting int
			query := "SELECT count(*) FROM pg_locks WHERE NOT granted"
			if err := conn.QueryRow(ctx, query).Scan(&waiting); err != nil || waiting == 0 {
				return fmt.Errorf("%d wait: %w", waiting, err)
			}
			return nil
		})
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		testkit.Eventually(t, "the program is no longer ready", func() error {
			if status, body, err := tryFetch(r.url + "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "stopping") {
				return fmt.Errorf("status %d, %v", status, err)
			}
			return nil
		})
		return tx.Commit(ctx)
	})
	<-answered
	if status != http.StatusOK || err != nil {
		t.Errorf("the request in flight got %d, %v", status, err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v: %s", err, p.log)
	}
	w.noSecrets(t, p.log.String())
}

func doesNotNeedSentry(t *testing.T, path string) {
	w := newWorld(t)
	w.sentry.DSN = fmt.Sprintf("http://key@127.0.0.1:%d/1", testkit.FreePort(t))
	p, r := w.program(t, path)
	w.redis.Stop()
	if got := r.ping(t); got.Cached || got.Version != "1a2b3c4" {
		t.Errorf("got %+v", got)
	}
	start := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v: %s", err, p.log)
	}
	if took := time.Since(start); took > drainDelay+flushTimeout+3*time.Second {
		t.Errorf("it took %s to end", took)
	}
	if !strings.Contains(p.log.String(), "sentry cannot be reached") {
		t.Errorf("the log does not say that Sentry cannot be reached: %s", p.log)
	}
}

// program runs the binary and waits until it is ready.
func (w *world) program(t *testing.T, path string) (*program, *replica) {
	t.Helper()
	env := w.env()
	port := strconv.Itoa(testkit.FreePort(t))
	env["PORT"] = port
	p := run(t, path, env)
	r := &replica{url: "http://127.0.0.1:" + port, log: p.log}
	testkit.Eventually(t, "the program is ready", func() error {
		status, body, err := tryFetch(r.url + "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
	return p, r
}
