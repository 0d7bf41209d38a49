package helm

import (
	"sync"

	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// answers collects what the API server answers when objects are applied. It is safe for concurrent use. Nil collects
// nothing.
type answers struct {
	mu   sync.Mutex
	list []*unstructured.Unstructured
}

func (a *answers) add(live *unstructured.Unstructured) {
	if a == nil || live == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, live)
}

// describe returns a revision that was just made.
func (a *answers) describe(record *release.Release, err error) (*Release, error) {
	if err != nil {
		return nil, err
	}
	r := describe(record)
	a.mu.Lock()
	defer a.mu.Unlock()
	r.Live = a.list
	return r, nil
}
