package registry

import (
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Pool keeps clients, so that a registry is not logged into anew for every request. It is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	clients map[string]*pooled
	now     func() time.Time
}

type pooled struct {
	reader *Reader
	used   time.Time
}

// keep is how long a client is kept that nobody asks for. Its tokens end with it.
const keep = time.Hour

// NewPool returns an empty Pool.
func NewPool() *Pool { return &Pool{clients: map[string]*pooled{}, now: time.Now} }

// Reader returns a Reader for the registry named host, such as ghcr.io or localhost:5000. Only who knows all of the access
// gets the same Reader again.
func (p *Pool) Reader(host string, a Access) (*Reader, error) {
	key := host + " " + a.Fingerprint()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if found, ok := p.clients[key]; ok {
		found.used = now
		return found.reader, nil
	}
	for key, old := range p.clients {
		if now.Sub(old.used) > keep {
			old.reader.close()
			delete(p.clients, key)
		}
	}
	reader, err := newReader(host, a)
	if err != nil {
		return nil, err
	}
	p.clients[key] = &pooled{reader: reader, used: now}
	return reader, nil
}

func newReader(host string, a Access) (*Reader, error) {
	keychain, err := a.keychain(host)
	if err != nil {
		return nil, err
	}
	transport, err := a.Transport()
	if err != nil {
		return nil, err
	}
	guarded := &guard{base: transport, onlyTLS: a.OnlyTLS && !a.Insecure}
	puller, err := remote.NewPuller(
		remote.WithAuthFromKeychain(keychain),
		remote.WithTransport(guarded),
		remote.WithUserAgent("peyk"),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), // whoever reconciles tries again
		remote.WithPlatform(defaultPlatform),
	)
	if err != nil {
		return nil, err
	}
	return &Reader{puller: puller, guard: guarded, insecure: a.Insecure}, nil
}
