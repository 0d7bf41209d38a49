package helm

import (
	"maps"
	"sync"
	"time"

	"github.com/peyk/peyk/internal/kube"
)

// Engines keeps one Engine for every client while it is used. Those of a cluster share what is known of what it serves.
type Engines struct {
	mu     sync.Mutex
	kept   map[*kube.Client]*keptEngine
	served map[*kube.Client]*served // by the client that the cluster is reached with
}

type keptEngine struct {
	engine *Engine
	used   time.Time
}

// enginesKept is how long an Engine is kept that nobody asks for.
const enginesKept = time.Hour

// NewEngines returns Engines.
func NewEngines() *Engines {
	return &Engines{kept: map[*kube.Client]*keptEngine{}, served: map[*kube.Client]*served{}}
}

// For returns the engine that acts as client does.
func (p *Engines) For(client *kube.Client) (*Engine, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.sweep(now)
	if k := p.kept[client]; k != nil {
		k.used = now
		return k.engine, nil
	}
	cluster := client.Own()
	if p.served[cluster] == nil {
		served, err := servedTo(cluster)
		if err != nil {
			return nil, err
		}
		p.served[cluster] = served
	}
	e, err := newClientEngine(client, p.served[cluster])
	if err != nil {
		return nil, err
	}
	p.kept[client] = &keptEngine{e, now}
	return e, nil
}

// sweep drops what nobody asked for. The lock is held.
func (p *Engines) sweep(now time.Time) {
	used := map[*kube.Client]bool{}
	for client, k := range p.kept {
		if now.Sub(k.used) > enginesKept {
			delete(p.kept, client)
		} else {
			used[client.Own()] = true
		}
	}
	maps.DeleteFunc(p.served, func(cluster *kube.Client, _ *served) bool { return !used[cluster] })
}

// Fresh returns an engine of its own that acts as client does, and knows nothing yet of what the cluster serves.
func (p *Engines) Fresh(client *kube.Client) (*Engine, error) {
	kept, err := p.For(client)
	if err != nil {
		return nil, err
	}
	e, err := NewEngine(client.Fresh())
	if err != nil {
		return nil, err
	}
	e.holder, e.slots = kept.holder, kept.slots
	return e, nil
}
