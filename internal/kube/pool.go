package kube

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Identity is on whose behalf a client acts. The zero Identity is Peyk's own.
type Identity struct {
	// Namespace and ServiceAccount name the service account that is impersonated.
	Namespace, ServiceAccount string
}

// Pool makes one Client per Identity and keeps it, so that connections and discovery are shared.
type Pool struct {
	config *rest.Config
	mapper meta.RESTMapper

	mu      sync.Mutex
	clients map[Identity]*Client
}

// NewPool returns a Pool for the cluster of config. The client-side rate limit is off: the API server has its own
// priority and fairness.
func NewPool(config *rest.Config) (*Pool, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the HTTP client: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's resources: %w", err)
	}
	return &Pool{config: config, mapper: mapper, clients: map[Identity]*Client{}}, nil
}

// For returns the client of an identity.
func (p *Pool) For(id Identity) (*Client, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.clients[id]; ok {
		return c, nil
	}
	config := rest.CopyConfig(p.config)
	if id.ServiceAccount != "" {
		config.Impersonate = rest.ImpersonationConfig{
			UserName: fmt.Sprintf("system:serviceaccount:%s:%s", id.Namespace, id.ServiceAccount),
			Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + id.Namespace, "system:authenticated"},
		}
	}
	c, err := newClient(config, p.mapper)
	if err != nil {
		return nil, err
	}
	p.clients[id] = c
	return c, nil
}

func newClient(config *rest.Config, mapper meta.RESTMapper) (*Client, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the HTTP client: %w", err)
	}
	dyn, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the dynamic client: %w", err)
	}
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = serializer.WithoutConversionCodecFactory{CodecFactory: scheme.Codecs}
	raw, err := rest.RESTClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("making the REST client: %w", err)
	}
	return &Client{Dynamic: dyn, Mapper: mapper, rest: raw}, nil
}
