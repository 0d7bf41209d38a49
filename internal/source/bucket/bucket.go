// Package bucket reads buckets of object stores that speak S3: it lists what a bucket holds, names that by a revision, and
// downloads it to a folder. It is the home of the S3 client.
package bucket

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/peyk/peyk/internal/registry"
)

// Options say which bucket is read, and who reads it.
type Options struct {
	// Endpoint is the server, as host or host:port. It speaks TLS unless it is Insecure.
	Endpoint string
	Insecure bool
	// Region may be empty: then the server is asked.
	Region string
	// Name is the bucket's, Prefix what the keys that are wanted begin with.
	Name, Prefix string
	// AccessKey and SecretKey are the credentials. Without them, and without LDAP, it is nobody who reads.
	AccessKey, SecretKey string
	// Network holds the certificates and the proxy for the server.
	Network registry.Access
	// LDAP asks a token service for credentials. Optional.
	LDAP *LDAP
	// Limits bound what may be read.
	Limits Limits
}

// LDAP is a service that gives temporary credentials to the users of a directory.
type LDAP struct {
	// Endpoint is its URL.
	Endpoint           string
	Username, Password string
	// Network holds the certificates and the proxy for it.
	Network registry.Access
}

// Limits bound what a bucket may cost. One beyond them is refused with an error that names the limit.
type Limits struct {
	// Files is how many files may be wanted, Keys how many keys may be looked at to find them.
	Files, Keys int
	// FileBytes is the largest file, Bytes the largest sum of all files.
	FileBytes, Bytes int64
}

// DefaultLimits are those of Git repositories.
func DefaultLimits() Limits {
	return Limits{Files: 100_000, Keys: 1_000_000, FileBytes: 128 << 20, Bytes: 1 << 30}
}

// retries is how often a request is tried before it counts as failed; the whole pass is tried again later anyway.
const retries = 3

// Bucket is a bucket that can be read. It must be closed.
type Bucket struct {
	options    Options
	client     *minio.Client
	transports []*http.Transport
}

// Open prepares to read a bucket. Nothing is sent yet.
func Open(o Options) (*Bucket, error) {
	b := &Bucket{options: o}
	transport, err := b.transport(o.Network)
	if err != nil {
		return nil, err
	}
	creds, err := b.credentials()
	if err != nil {
		return nil, err
	}
	b.client, err = minio.New(o.Endpoint, &minio.Options{
		Creds: creds, Secure: !o.Insecure, Transport: transport, Region: o.Region, MaxRetries: retries,
	})
	if err != nil {
		return nil, fmt.Errorf("the endpoint %q must be a host name, with a port where it is not the usual one: %w", o.Endpoint, err)
	}
	return b, nil
}

func (b *Bucket) transport(network registry.Access) (*http.Transport, error) {
	transport, err := network.Transport()
	if err != nil {
		return nil, err
	}
	// What is stored compressed must arrive as it is, for its size and tag are those of the compressed form.
	transport.DisableCompression = true
	b.transports = append(b.transports, transport)
	return transport, nil
}

func (b *Bucket) credentials() (*credentials.Credentials, error) {
	o := b.options
	if o.LDAP == nil {
		// Without keys requests are not signed.
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), nil
	}
	if u, err := url.Parse(o.LDAP.Endpoint); err != nil || u.Host == "" {
		return nil, fmt.Errorf("the address of the token service %q must be a URL", o.LDAP.Endpoint)
	}
	transport, err := b.transport(o.LDAP.Network)
	if err != nil {
		return nil, err
	}
	return credentials.New(&credentials.LDAPIdentity{
		Client: &http.Client{Transport: transport}, STSEndpoint: o.LDAP.Endpoint,
		LDAPUsername: o.LDAP.Username, LDAPPassword: o.LDAP.Password,
	}), nil
}

// Close ends the connections.
func (b *Bucket) Close() {
	for _, transport := range b.transports {
		transport.CloseIdleConnections()
	}
}
