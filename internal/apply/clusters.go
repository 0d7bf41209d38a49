package apply

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/peyk/peyk/internal/kube"
)

// Clusters keeps one Engine for every cluster that an owner has objects in. The engines of other clusters start when
// they are needed, wake the same controllers as the engine of Peyk's own, and stop when they have had no owner for a
// while.
type Clusters struct {
	home  *Engine
	clock clock.PassiveClock

	mu     sync.Mutex
	ctx    context.Context // of the engines; nil until Start
	others map[string]*other
	at     map[Owner]string // the cluster that an owner has its objects in, when it is not Peyk's own
}

// other is the engine of another cluster.
type other struct {
	engine *Engine
	stop   context.CancelFunc
	used   time.Time
}

// unusedFor is how long the engine of another cluster goes on without owners.
const unusedFor = 10 * time.Minute

// NewClusters returns Clusters whose engine for Peyk's own cluster is home.
func NewClusters(home *Engine) *Clusters {
	return &Clusters{home: home, clock: clock.RealClock{}, others: map[string]*other{}, at: map[Owner]string{}}
}

// Engine returns the engine of the cluster that client speaks to, and remembers that owner has its objects there. What
// the engine of another cluster knew of owner is forgotten.
func (c *Clusters) Engine(owner Owner, client *kube.Client) *Engine {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := client.Cluster()
	if was := c.at[owner]; was != key {
		c.engineAt(was).Forget(owner)
	}
	if key == "" {
		delete(c.at, owner)
		return c.home
	}
	c.at[owner] = key
	o, ok := c.others[key]
	if !ok {
		o = &other{engine: c.home.sibling(client.Own())}
		c.others[key] = o
		c.run(o)
	}
	o.used = c.clock.Now()
	return o.engine
}

// Forget drops what is known of owner, in whatever cluster.
func (c *Clusters) Forget(owner Owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.engineAt(c.at[owner]).Forget(owner)
	delete(c.at, owner)
}

// engineAt returns the engine of a cluster. The engine of one that is not known any more has nothing to forget.
func (c *Clusters) engineAt(key string) *Engine {
	if o, ok := c.others[key]; ok {
		return o.engine
	}
	return c.home
}

// run starts an engine, once there is a context for it.
func (c *Clusters) run(o *other) {
	if c.ctx == nil {
		return
	}
	var ctx context.Context
	ctx, o.stop = context.WithCancel(c.ctx)
	go func() { _ = o.engine.Start(ctx) }()
}

// Start lets the engines of other clusters run until ctx is done. It implements manager.Runnable.
func (c *Clusters) Start(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	for _, o := range c.others {
		c.run(o)
	}
	c.mu.Unlock()
	ticker := time.NewTicker(unusedFor / 10)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			c.sweep()
		}
	}
}

// NeedLeaderElection says that only the leader watches and applies.
func (c *Clusters) NeedLeaderElection() bool { return true }

// sweep stops the engines that have had no owner for a while.
func (c *Clusters) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	for _, key := range c.at {
		if o, ok := c.others[key]; ok {
			o.used = now
		}
	}
	for key, o := range c.others {
		if now.Sub(o.used) > unusedFor {
			o.stop()
			delete(c.others, key)
		}
	}
}
