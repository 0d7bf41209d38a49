package gitserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// The two services of Git's smart protocol (gitprotocol-http(5)).
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// gitConfig holds for every repository, whatever its own configuration says.
func gitConfig() []string {
	return []string{
		"http.uploadpack=true",
		"http.receivepack=true",
		"http.getanyfile=false",    // no dumb protocol
		"core.hooksPath=/dev/null", // webhooks are ours; nothing in a repository runs
		"receive.fsckObjects=true", // a broken push is refused, not stored
		"gc.autoDetach=false",      // no process outlives its request
		"maintenance.autoDetach=false",
		"uploadpack.allowFilter=true",        // partial clones
		"uploadpack.allowAnySHA1InWant=true", // fetching one commit
		"safe.directory=*",
	}
}

// environment is all that git sees of ours: no configuration of the machine or its user.
func (s *Server) environment() []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"HOME=" + s.cfg.Root,
		"LC_ALL=C.UTF-8",
	}
	settings := gitConfig()
	for i, setting := range settings {
		key, value, _ := strings.Cut(setting, "=")
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, value))
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
}

// gitRequest is a request of the smart protocol.
type gitRequest struct {
	repo    string
	path    string // "/info/refs" or "/" + service
	service string
}

// parse accepts the three forms of smart requests and nothing else.
func parse(r *http.Request) (gitRequest, int, string) {
	for _, end := range []string{"/info/refs", "/" + uploadPack, "/" + receivePack} {
		raw, found := strings.CutSuffix(r.URL.Path, end)
		if !found {
			continue
		}
		name, err := cleanName(raw)
		if err != nil {
			return gitRequest{}, http.StatusNotFound, err.Error()
		}
		req := gitRequest{repo: name, path: end, service: strings.TrimPrefix(end, "/")}
		method := http.MethodPost
		if end == "/info/refs" {
			req.service, method = r.URL.Query().Get("service"), http.MethodGet
		}
		if req.service != uploadPack && req.service != receivePack {
			return gitRequest{}, http.StatusForbidden, "only Git's smart protocol is served: use a git client of version 1.6.6 or later"
		}
		if r.Method != method {
			return gitRequest{}, http.StatusMethodNotAllowed, "method not allowed"
		}
		return req, 0, ""
	}
	return gitRequest{}, http.StatusNotFound, "no such page: clone with `git clone URL/OWNER/NAME.git`"
}

func (s *Server) serveGit(w http.ResponseWriter, r *http.Request) {
	req, status, message := parse(r)
	if status != 0 {
		http.Error(w, message, status)
		return
	}
	want := ScopeRead
	if req.service == receivePack {
		want = ScopeWrite
	}
	got, err := s.authorize(r, req.repo, want)
	if err != nil {
		s.log.ErrorContext(r.Context(), "authorizing git request", "repository", req.repo, "err", err)
		http.Error(w, "the repository's settings cannot be read: see the server's log", http.StatusInternalServerError)
		return
	}
	switch got {
	case accessDenied:
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "a token with access to this repository is needed: give it as the password, with any user name", http.StatusUnauthorized)
	case accessReadOnly:
		http.Error(w, "this token may only read: use one of scope write", http.StatusForbidden)
	case accessNoRepository:
		http.Error(w, "repository "+req.repo+" does not exist: create it with PUT /api/v1/repos/"+url.PathEscape(req.repo), http.StatusNotFound)
	default:
		s.serveAuthorized(w, r, req)
	}
}

func (s *Server) serveAuthorized(w http.ResponseWriter, r *http.Request, req gitRequest) {
	if req.path != "/"+receivePack {
		s.backend(w, r, req)
		return
	}
	if err := s.servePush(w, r, req); err != nil {
		s.log.WarnContext(r.Context(), "serving push", "repository", req.repo, "err", err)
		http.Error(w, "the push could not be stored: see the server's log", http.StatusInternalServerError)
	}
}

// servePush lets one push at a time into a repository, so that the difference of its refs is the push. The body is taken in
// before, so that a slow client holds nobody up.
func (s *Server) servePush(w http.ResponseWriter, r *http.Request, req gitRequest) error {
	body, size, err := s.spool(r.Body)
	if err != nil {
		return fmt.Errorf("receiving push: %w", err)
	}
	defer body.Close()
	r = r.Clone(r.Context())
	r.Body, r.ContentLength, r.TransferEncoding = body, size, nil

	defer s.pushes.lock(req.repo)()
	before, err := s.refs(r.Context(), req.repo)
	if err != nil {
		return err
	}
	s.backend(w, r, req)
	// What was pushed is announced even if its client went away before the answer.
	s.announce(context.WithoutCancel(r.Context()), req.repo, s.baseURL(r), before)
	return nil
}

// baseURL is where clients reach this server.
func (s *Server) baseURL(r *http.Request) string {
	if s.cfg.URL != "" {
		return s.cfg.URL
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// spool copies a body into a file without a name, which vanishes with the process whatever happens.
func (s *Server) spool(body io.Reader) (*os.File, int64, error) {
	file, err := os.CreateTemp(s.cfg.Root, stagingPrefix)
	if err != nil {
		return nil, 0, err
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, 0, err
	}
	size, err := io.Copy(file, body)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, size, nil
}

// backend hands the request to git http-backend (git-http-backend(1)), which also unpacks compressed bodies.
func (s *Server) backend(w http.ResponseWriter, r *http.Request, req gitRequest) {
	inner := r.Clone(r.Context())
	inner.URL.Path = "/" + req.repo + ".git" + req.path
	inner.URL.RawPath = ""
	// The program has no use for the credential, and an environment can be read by others.
	inner.Header.Del("Authorization")
	// A chunked body has no length; the program then reads to its end.
	inner.TransferEncoding = nil

	handler := cgi.Handler{
		Path: s.git,
		Args: []string{"http-backend"},
		Root: "/",
		Dir:  s.cfg.Root,
		Env: append(s.environment(),
			"GIT_PROJECT_ROOT="+filepath.Clean(s.cfg.Root),
			"GIT_HTTP_EXPORT_ALL=1",
			"GIT_PROTOCOL="+r.Header.Get("Git-Protocol"),
			"REMOTE_USER=git",
		),
		Stderr: logWriter{s.log, req.repo},
		Logger: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	handler.ServeHTTP(w, inner)
}

// logWriter passes git's messages on.
type logWriter struct {
	log  *slog.Logger
	repo string
}

func (l logWriter) Write(p []byte) (int, error) {
	l.log.Debug("git http-backend", "repository", l.repo, "message", strings.TrimSpace(string(p)))
	return len(p), nil
}
