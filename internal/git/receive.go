package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// RefusedPushError is a push that the server answered and did not accept: the branch moved, or something forbids it.
type RefusedPushError struct {
	// Reason is what the server says, on one line.
	Reason string
}

// Error returns what the server says.
func (e *RefusedPushError) Error() string { return "the server refuses the push: " + e.Reason }

// update asks a server to move one reference, if it is still where it was.
type update struct {
	name     string
	old, new plumbing.Hash
	// options are told to the server, where it listens to push options.
	options []string
	pack    []byte
}

// encode writes the request as git-receive-pack reads it. go-git's own encoder cannot send an option without a value.
func (u update) encode(has *capability.List) ([]byte, error) {
	var buf bytes.Buffer
	caps := []string{"report-status", "agent=" + capability.DefaultAgent()}
	if has.Supports(capability.Sideband64k) {
		caps = append(caps, "side-band-64k")
	}
	options := u.options
	if !has.Supports(capability.PushOptions) {
		options = nil
	}
	if len(options) > 0 {
		caps = append(caps, "push-options")
	}
	e := pktline.NewEncoder(&buf)
	if err := e.Encodef("%s %s %s\x00 %s", u.old, u.new, u.name, strings.Join(caps, " ")); err != nil {
		return nil, err
	}
	if err := e.Flush(); err != nil {
		return nil, err
	}
	for _, option := range options {
		if err := e.EncodeString(option); err != nil {
			return nil, err
		}
	}
	if len(options) > 0 {
		if err := e.Flush(); err != nil {
			return nil, err
		}
	}
	buf.Write(u.pack)
	return buf.Bytes(), nil
}

// push sends one update. The capabilities that the server announced last are given and returned, so that over HTTP one
// request is enough. An error that is no *RefusedPushError and no *Error leaves open what became of the push.
func (m *Mirrors) push(ctx context.Context, remote Remote, known *capability.List, u update) (*capability.List, error) {
	address, err := remote.parse()
	if err != nil {
		return known, err
	}
	if address.Scheme == "ssh" {
		return m.pushSSH(ctx, remote, address, u)
	}
	return m.pushHTTP(ctx, remote, known, u)
}

func (m *Mirrors) pushSSH(ctx context.Context, remote Remote, address *url.URL, u update) (*capability.List, error) {
	s, err := startSSH(ctx, remote, address, m.scratch())
	if err != nil {
		return nil, notPushed(ctx, remote, err)
	}
	defer s.Close()
	if err := s.start(receivePack, address.Path, m.limits); err != nil {
		return nil, notPushed(ctx, remote, err)
	}
	refs := packp.NewAdvRefs()
	if err := refs.Decode(s.out); err != nil {
		if errors.Is(err, packp.ErrEmptyInput) {
			err = s.refusal(ctx)
		}
		return nil, notPushed(ctx, remote, err)
	}
	request, err := u.encode(refs.Capabilities)
	if err != nil {
		return nil, notPushed(ctx, remote, err)
	}
	if _, err := s.in.Write(request); err != nil {
		return nil, fmt.Errorf("sending the push: %w", err)
	}
	if err := s.in.Close(); err != nil {
		return nil, fmt.Errorf("sending the push: %w", err)
	}
	return refs.Capabilities, readReport(s.out, refs.Capabilities)
}

// notPushed is explain for what went wrong before anything was sent that could move the branch.
func notPushed(ctx context.Context, remote Remote, err error) error {
	err = explain(ctx, remote, err)
	if e, ok := errors.AsType[*Error](err); ok {
		text := strings.Replace(e.message, "reading "+remote.Address(), "pushing to "+remote.Address(), 1)
		if e.Kind == Denied {
			text += "; writing needs credentials with the right to push"
		}
		return &Error{Kind: e.Kind, message: text, cause: e.cause}
	}
	return err
}

func (m *Mirrors) pushHTTP(ctx context.Context, remote Remote, known *capability.List, u update) (*capability.List, error) {
	base, own, err := transportFor(m.http, remote.Credentials)
	if err != nil {
		return nil, err
	}
	if own != nil {
		defer own.CloseIdleConnections()
	}
	h := &httpPush{client: &http.Client{Transport: base}, remote: remote}
	if known == nil {
		if known, err = h.announced(ctx); err != nil {
			return nil, notPushed(ctx, remote, err)
		}
	}
	request, err := u.encode(known)
	if err != nil {
		return known, notPushed(ctx, remote, err)
	}
	body, err := h.post(ctx, request)
	if err != nil {
		if errors.Is(err, transport.ErrAuthenticationRequired) || errors.Is(err, transport.ErrAuthorizationFailed) || errors.Is(err, transport.ErrRepositoryNotFound) {
			return nil, notPushed(ctx, remote, err)
		}
		return nil, err
	}
	defer body.Close()
	return known, readReport(body, known)
}

// httpPush is git-receive-pack behind HTTP.
type httpPush struct {
	client *http.Client
	remote Remote
}

func (h *httpPush) do(req *http.Request) (io.ReadCloser, error) {
	req.Header.Set("User-Agent", capability.DefaultAgent())
	if auth, ok := authOf(h.remote.Credentials).(githttp.AuthMethod); ok {
		auth.SetAuth(req)
	}
	res, err := h.client.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	res.Body = limit(res.Body, advertisementBytes)
	if err := githttp.NewErr(res); err != nil {
		return nil, err
	}
	return res.Body, nil
}

func (h *httpPush) address(path string) string { return strings.TrimSuffix(h.remote.URL, "/") + path }

// announced asks what the server can do.
func (h *httpPush) announced(ctx context.Context) (*capability.List, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.address("/info/refs?service="+receivePack), http.NoBody)
	if err != nil {
		return nil, err
	}
	body, err := h.do(req)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	refs := packp.NewAdvRefs()
	if err := refs.Decode(body); err != nil && !errors.Is(err, packp.ErrEmptyAdvRefs) {
		return nil, err
	}
	return refs.Capabilities, nil
}

func (h *httpPush) post(ctx context.Context, request []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.address("/"+receivePack), bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
	req.Header.Set("Accept", "application/x-git-receive-pack-result")
	// A push must not be sent twice by the transport: whether the first one arrived is found out by looking.
	req.GetBody = nil
	return h.do(req)
}

// readReport reads what the server made of the push.
func readReport(r io.Reader, has *capability.List) error {
	said := &tail{}
	if has.Supports(capability.Sideband64k) {
		demuxer := sideband.NewDemuxer(sideband.Sideband64k, r)
		demuxer.Progress = said
		r = demuxer
	}
	report := packp.NewReportStatus()
	if err := report.Decode(r); err != nil {
		return fmt.Errorf("reading the server's answer to the push: %w", err)
	}
	// What hooks of the server print comes before and after the report.
	_, _ = io.Copy(io.Discard, io.LimitReader(r, errorBytes))
	err := report.Error()
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, status := range report.CommandStatuses {
		if status.Status != "ok" {
			text = status.Status
		}
	}
	if words := said.String(); words != "" {
		text += ": " + words
	}
	return &RefusedPushError{Reason: oneLine(text)}
}
