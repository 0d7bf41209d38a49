package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// gitServer is a repository behind stock git on loopback.
type gitServer struct {
	dir    string
	url    string
	server *http.Server
}

const branch = "refs/heads/main"

func startGit(ctx context.Context, dir string) (*gitServer, error) {
	execPath, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("looking for git (apt-get install git): %w", err)
	}
	g := &gitServer{dir: filepath.Join(dir, "git", "apps.git")}
	if _, err := g.git(ctx, nil, "init", "--quiet", "--bare", "--initial-branch=main", g.dir); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for git: %w", err)
	}
	g.url = "http://" + listener.Addr().String() + "/apps.git"
	g.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: &cgi.Handler{
		Path:   filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:    []string{"GIT_PROJECT_ROOT=" + filepath.Dir(g.dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
		Stderr: io.Discard,
	}}
	go func() { _ = g.server.Serve(listener) }()
	return g, nil
}

func (g *gitServer) stop() error { return g.server.Close() }

func (g *gitServer) git(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // fixed commands
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("running git %s: %w\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// commit adds files to the branch, or replaces them, and returns the hash of the commit.
func (g *gitServer) commit(ctx context.Context, files map[string]string) (string, error) {
	var stream bytes.Buffer
	fmt.Fprintf(&stream, "commit %s\ncommitter Bench <bench@example.org> %d +0000\ndata 6\nchange\n", branch, time.Now().Unix())
	if parent, err := g.git(ctx, nil, "-C", g.dir, "rev-parse", "--verify", "--quiet", branch); err == nil {
		fmt.Fprintf(&stream, "from %s\n", parent)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&stream, "M 100644 inline %s\ndata %d\n%s\n", name, len(files[name]), files[name])
	}
	if _, err := g.git(ctx, stream.Bytes(), "-C", g.dir, "fast-import", "--quiet"); err != nil {
		return "", err
	}
	return g.git(ctx, nil, "-C", g.dir, "rev-parse", branch)
}
