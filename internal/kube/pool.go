package kube

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Identity is on whose behalf a client acts, and where. The zero Identity is Peyk's own.
type Identity struct {
	// Namespace and ServiceAccount name the service account that is impersonated. Without a ServiceAccount the client has
	// the rights that the cluster is reached with.
	Namespace, ServiceAccount string
	// Kubeconfig reaches another cluster.
	Kubeconfig Kubeconfig
}

// impersonated returns the impersonation for the identity's service account.
func (id Identity) impersonated() rest.ImpersonationConfig {
	return rest.ImpersonationConfig{
		UserName: fmt.Sprintf("system:serviceaccount:%s:%s", id.Namespace, id.ServiceAccount),
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + id.Namespace, "system:authenticated"},
	}
}

// Pool makes one Client per Identity and keeps it while it is used. All clients of a cluster share connections and
// discovery.
type Pool struct {
	own *Client
	now func() time.Time

	mu      sync.Mutex
	clients map[Identity]*pooled
	swept   time.Time
}

type pooled struct {
	client *Client
	used   time.Time
}

// keptFor is how long a client is kept that nobody asks for.
const keptFor = time.Hour

// NewPool returns a Pool for the cluster of config. The client-side rate limit is off: the API server has its own
// priority and fairness.
func NewPool(config *rest.Config) (*Pool, error) {
	own, err := newCluster(config, "", patience)
	if err != nil {
		return nil, err
	}
	return &Pool{own: own, now: time.Now, clients: map[Identity]*pooled{}}, nil
}

// For returns the client of an identity. A client that was not asked for in an hour is made anew; one that is in use
// goes on working.
func (p *Pool) For(id Identity) (*Client, error) {
	if id.ServiceAccount == "" {
		id.Namespace = ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep()
	return p.get(id)
}

func (p *Pool) get(id Identity) (*Client, error) {
	if id == (Identity{}) {
		return p.own, nil
	}
	if known, ok := p.clients[id]; ok {
		known.used = p.now()
		return known.client, nil
	}
	client, err := p.make(id)
	if err != nil {
		return nil, err
	}
	p.clients[id] = &pooled{client, p.now()}
	return client, nil
}

func (p *Pool) make(id Identity) (*Client, error) {
	if id.ServiceAccount != "" {
		cluster, err := p.get(Identity{Kubeconfig: id.Kubeconfig})
		if err != nil {
			return nil, err
		}
		return cluster.as(id.impersonated())
	}
	config, err := id.Kubeconfig.config()
	if err != nil {
		return nil, err
	}
	return newCluster(config, id.Kubeconfig.key(), remotePatience)
}

// sweep drops what nobody asked for, so that neither deleted tenants nor rotated credentials add up. The lock is held.
func (p *Pool) sweep() {
	now := p.now()
	if now.Sub(p.swept) < keptFor/10 {
		return
	}
	p.swept = now
	for id, known := range p.clients {
		if now.Sub(known.used) > keptFor {
			delete(p.clients, id)
		}
	}
}
