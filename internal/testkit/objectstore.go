package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// ObjectStore is an S3 server of its own, with its buckets on disk.
type ObjectStore struct {
	// Endpoint is host:port; it speaks HTTP. AccessKey and SecretKey are those of its administrator.
	Endpoint, AccessKey, SecretKey string

	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
	dir  string
}

// StartObjectStore starts an empty one. The caller stops it.
func StartObjectStore() (*ObjectStore, error) {
	program, err := Program("versitygw")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peyk-objectstore-")
	if err != nil {
		return nil, err
	}
	endpoint, err := freeAddress()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o := &ObjectStore{Endpoint: endpoint, AccessKey: "peyk-test", SecretKey: "peyk-test-secret", dir: dir, done: make(chan struct{})}
	// What belongs to an object is kept beside it, for not every file system has extended attributes.
	buckets, metadata := filepath.Join(dir, "buckets"), filepath.Join(dir, "metadata")
	if err := errors.Join(os.Mkdir(buckets, 0o755), os.Mkdir(metadata, 0o755)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	o.cmd = exec.Command(program, "--port", endpoint, "--quiet", "--health", "/healthz", "posix", "--sidecar", metadata, buckets) //nolint:gosec // a program of this repository
	o.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+o.AccessKey, "ROOT_SECRET_KEY="+o.SecretKey)
	o.cmd.Stdout, o.cmd.Stderr = &o.log, &o.log
	if err := o.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the object store: %w", err), os.RemoveAll(dir))
	}
	go func() {
		// It is killed in the end, so it always ends with an error.
		_ = o.cmd.Wait()
		close(o.done)
	}()
	if err := o.ready(); err != nil {
		return nil, errors.Join(err, o.Stop())
	}
	return o, nil
}

func (o *ObjectStore) ready() error {
	deadline := time.After(startTimeout)
	for {
		if res, err := http.Get("http://" + o.Endpoint + "/healthz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-o.done:
			return fmt.Errorf("the object store ended while it started:\n%s", o.log.String())
		case <-deadline:
			return fmt.Errorf("the object store did not start in %s", startTimeout)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the server and removes everything that is in it.
func (o *ObjectStore) Stop() error {
	if err := o.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the object store: %w", err)
	}
	<-o.done
	return os.RemoveAll(o.dir)
}
