package supervisor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/process"
)

const (
	// s3AccessKey is the name of the object store's only account.
	s3AccessKey = "peyk-local"
	// s3Health is the path at which the object store says that it is there. No bucket can have this name.
	s3Health = "/-/healthz"
	// credentialsFormat is that of ~/.aws/credentials, so that $AWS_SHARED_CREDENTIALS_FILE may name the file.
	credentialsFormat = "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n"
)

// serveObjects starts the object store in the hub, lets the host reach it, and returns when it answers.
func (s *supervisor) serveObjects(ctx context.Context) error {
	secret, err := s3Secret(s.dir)
	if err != nil {
		return err
	}
	l, err := listenHost("s3", s.spec.Ports.S3)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("%s:%d", cluster.HubIP, cluster.HubS3Port)
	dial := func(ctx context.Context) (net.Conn, error) { return s.hub.Namespace.DialContext(ctx, "tcp", address) }
	s.background(func(ctx context.Context) error { return forward(ctx, l, dial) })
	s.background(func(ctx context.Context) error { return s.keepObjects(ctx, address, secret) })
	if err := s.waitObjects(ctx, "http://"+address+s3Health); err != nil {
		return fmt.Errorf("waiting for the object store (see %s): %w", s.dir.Log("s3"), err)
	}
	return s.boot.Step("object store ready")
}

// s3Secret reads the secret key of the object store, which the first start makes.
func s3Secret(dir cluster.Dir) (string, error) {
	data, err := os.ReadFile(dir.S3CredentialsFile())
	if errors.Is(err, fs.ErrNotExist) {
		secret := rand.Text()
		if err := os.WriteFile(dir.S3CredentialsFile(), fmt.Appendf(nil, credentialsFormat, s3AccessKey, secret), 0o600); err != nil {
			return "", fmt.Errorf("writing the object store's credentials: %w", err)
		}
		return secret, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the object store's credentials: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) == "aws_secret_access_key" {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("reading %s: it has no aws_secret_access_key: remove the file to have new credentials made", dir.S3CredentialsFile())
}

// keepObjects runs the object store and starts it again when it ends, until ctx ends.
func (s *supervisor) keepObjects(ctx context.Context, address, secret string) error {
	for {
		if err := s.hub.Namespace.Do(func() error { return s.runObjects(ctx, address, secret) }); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// runObjects runs the object store until it ends or ctx does. It must not leave its thread before that: the program knows
// nothing of lifelines, and is killed with the thread that started it.
func (s *supervisor) runObjects(ctx context.Context, address, secret string) error {
	program, err := Sibling(s3Program)
	if err != nil {
		return err
	}
	// What belongs to an object is kept beside it, for not every file system has extended attributes.
	buckets, metadata := s.dir.S3("buckets"), s.dir.S3("metadata")
	if err := errors.Join(os.MkdirAll(buckets, 0o700), os.MkdirAll(metadata, 0o700)); err != nil {
		return fmt.Errorf("making the object store's directories: %w", err)
	}
	cmd, err := process.Prepare(s.dir, "s3", program, "--port", address, "--quiet", "--health", s3Health, "posix", "--sidecar", metadata, buckets)
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, "ROOT_ACCESS_KEY="+s3AccessKey, "ROOT_SECRET_KEY="+secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	child, err := process.Start(cmd)
	if err != nil {
		return fmt.Errorf("starting the object store: %w", err)
	}
	select {
	case <-child.Done:
		s.log.ErrorContext(ctx, "object store ended", "error", child.Err, "log", s.dir.Log("s3"))
	case <-ctx.Done():
		// Every object is written to the disk before it is answered for, so nothing is lost.
		_ = child.Cmd.Process.Kill()
		<-child.Done
	}
	return nil
}

func (s *supervisor) waitObjects(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: s.hub.Namespace.DialContext, DisableKeepAlives: true}}
	return poll(ctx, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false, err
		}
		res, err := client.Do(req)
		if err != nil {
			return false, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode == http.StatusOK, err
	})
}
