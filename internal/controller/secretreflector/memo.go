package secretreflector

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/kube"
)

// memo is what this process knows of a SecretReflector's copies, so that a pass over what is in place makes no call.
type memo struct {
	// source is the version of the Secret that digest was made of.
	source string
	// digest of what a copy holds. It stays in this process.
	digest string
	// loaded says that the copies in the cluster were compared since the start of the process.
	loaded bool
	// lagging says that the last pass took a copy for there that the cache did not show.
	lagging bool
	// copies are those that are known to be ours, by namespace.
	copies map[string]known
}

// known is a copy as it was seen or written last.
type known struct {
	version, digest string
	at              time.Time
}

// lag is how long a copy that was just written may be missing in the cache.
const lag = 10 * time.Second

// remembered returns a copy of the memo of a SecretReflector.
func (c *Controller) remembered(key types.NamespacedName) memo {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memos[key]
	if m == nil {
		return memo{copies: map[string]known{}}
	}
	out := *m
	out.copies = make(map[string]known, len(m.copies))
	for namespace, k := range m.copies {
		out.copies[namespace] = k
	}
	return out
}

// remember changes the memo of a SecretReflector.
func (c *Controller) remember(key types.NamespacedName, change func(*memo)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memos[key] == nil {
		c.memos[key] = &memo{copies: map[string]known{}}
	}
	change(c.memos[key])
}

func (c *Controller) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.memos, key)
}

// lost takes in that a copy was deleted.
func (c *Controller) lost(key types.NamespacedName, namespace string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.memos[key]; m != nil {
		delete(m.copies, namespace)
	}
}

// isOwnEcho says whether a version of a copy is one that was written here.
func (c *Controller) isOwnEcho(key types.NamespacedName, namespace, version string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.memos[key]
	if m == nil {
		return false
	}
	k, ok := m.copies[namespace]
	return ok && (k.version == version || !kube.Newer(version, k.version))
}
