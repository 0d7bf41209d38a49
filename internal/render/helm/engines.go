package helm

import (
	"sync"
	"time"

	"github.com/peyk/peyk/internal/kube"
)

// Engines keeps one Engine for every client while it is used, so that connections and discovery are shared.
type Engines struct {
	mu   sync.Mutex
	kept map[*kube.Client]*keptEngine
}

type keptEngine struct {
	engine *Engine
	used   time.Time
}

// enginesKept is how long an Engine is kept that nobody asks for.
const enginesKept = time.Hour

// NewEngines returns Engines.
func NewEngines() *Engines { return &Engines{kept: map[*kube.Client]*keptEngine{}} }

// For returns the engine that acts as client does.
func (p *Engines) For(client *kube.Client) (*Engine, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for other, k := range p.kept {
		if now.Sub(k.used) > enginesKept {
			delete(p.kept, other)
		}
	}
	if k := p.kept[client]; k != nil {
		k.used = now
		return k.engine, nil
	}
	e, err := NewEngine(client.Config(), client)
	if err != nil {
		return nil, err
	}
	p.kept[client] = &keptEngine{e, now}
	return e, nil
}

// Fresh returns an engine of its own that acts as client does, and knows nothing yet of what the cluster serves.
func (p *Engines) Fresh(client *kube.Client) (*Engine, error) {
	kept, err := p.For(client)
	if err != nil {
		return nil, err
	}
	e, err := NewEngine(client.Config(), client.Fresh())
	if err != nil {
		return nil, err
	}
	e.holder, e.slots = kept.holder, kept.slots
	return e, nil
}
