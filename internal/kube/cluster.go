package kube

import (
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// How long a request is tried again while the API server cannot be reached or has no time, as when it restarts. Another
// cluster is given less, for a dead one must not keep workers from the others.
const (
	patience       = 10 * time.Second
	remotePatience = 2 * time.Second
)

// newCluster returns the client of a cluster, with the rights of config. The clients of all its identities share the
// transport, and so the connection, for they differ in headers only.
func newCluster(config *rest.Config, key string, patience time.Duration) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{} // one for every list of an old kind would drown the log
	shared, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the transport to the cluster: %w", err)
	}
	c := &Client{key: key, patience: patience, config: config, transport: shared}
	c.own = c
	c.mapper = &mapper{config: config, client: &http.Client{Transport: shared}}
	c.Mapper = c.mapper
	if err := c.open(shared); err != nil {
		return nil, err
	}
	return c, nil
}

// as returns a client of the same cluster that acts as somebody else.
func (c *Client) as(who rest.ImpersonationConfig) (*Client, error) {
	config := rest.CopyConfig(c.config)
	config.Impersonate = who
	other := &Client{key: c.key, patience: c.patience, config: config, transport: c.transport, own: c, mapper: c.mapper, Mapper: c.mapper}
	return other, other.open(transport.NewImpersonatingRoundTripper(transport.ImpersonationConfig{UserName: who.UserName, Groups: who.Groups}, c.transport))
}

// open makes what speaks through rt.
func (c *Client) open(rt http.RoundTripper) error {
	httpClient := &http.Client{Transport: rt}
	var err error
	if c.Dynamic, err = dynamic.NewForConfigAndClient(c.config, httpClient); err != nil {
		return fmt.Errorf("making the dynamic client: %w", err)
	}
	if c.Metadata, err = metadata.NewForConfigAndClient(c.config, httpClient); err != nil {
		return fmt.Errorf("making the metadata client: %w", err)
	}
	config := rest.CopyConfig(c.config)
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = serializer.WithoutConversionCodecFactory{CodecFactory: scheme.Codecs}
	if c.rest, err = rest.RESTClientForConfigAndClient(config, httpClient); err != nil {
		return fmt.Errorf("making the REST client: %w", err)
	}
	return nil
}
