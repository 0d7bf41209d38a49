package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/client-go/kubernetes"
)

// maxArtifact is the largest artifact that is downloaded.
const maxArtifact = 512 << 20

// download brings the artifact of a source to a file. What is served inside the cluster is asked for through the API
// server, which needs the right to get services/proxy there.
func download(ctx context.Context, cluster *Cluster, found *meta.Artifact, to *os.File) error {
	u, err := url.Parse(found.URL)
	if err != nil || u.Host == "" {
		return errors.New("status.artifact.url: it is not an address")
	}
	body, err := open(ctx, cluster, u)
	if err != nil {
		return fmt.Errorf("downloading %s: %w", u.Redacted(), err)
	}
	defer func() { _ = body.Close() }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(body, maxArtifact+1))
	switch {
	case err != nil:
		return fmt.Errorf("downloading %s: %w", u.Redacted(), err)
	case n > maxArtifact:
		return fmt.Errorf("downloading %s: more than %d MiB are refused", u.Redacted(), maxArtifact>>20)
	case "sha256:"+hex.EncodeToString(sum.Sum(nil)) != found.Digest:
		return fmt.Errorf("downloading %s: the content is not that of status.artifact.digest: try again", u.Redacted())
	}
	_, err = to.Seek(0, io.SeekStart)
	return err
}

func open(ctx context.Context, cluster *Cluster, u *url.URL) (io.ReadCloser, error) {
	if service, namespace, inside := serviceOf(u.Hostname()); inside && cluster.Config != nil {
		clients, err := kubernetes.NewForConfig(cluster.Config)
		if err != nil {
			return nil, fmt.Errorf("making the client: %w", err)
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443"}[u.Scheme]
		}
		return clients.CoreV1().Services(namespace).ProxyGet(u.Scheme, service, port, u.Path, nil).Stream(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("the server answered with status %d", res.StatusCode)
	}
	return res.Body, nil
}

// serviceOf reads the name of a Service inside a cluster, such as peyk.peyk-system.svc.cluster.local.
func serviceOf(host string) (service, namespace string, ok bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) < 3 || parts[2] != "svc" {
		return "", "", false
	}
	return parts[0], parts[1], true
}
