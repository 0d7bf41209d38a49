package kube

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// mapper is a meta.RESTMapper that learns resources when it is asked for them, and can forget them all: a definition
// that was replaced may be served elsewhere.
type mapper struct {
	config *rest.Config
	client *http.Client

	mu        sync.Mutex
	known     meta.RESTMapper
	forgotten time.Time
}

func (m *mapper) get() (meta.RESTMapper, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known != nil {
		return m.known, nil
	}
	known, err := apiutil.NewDynamicRESTMapper(m.config, m.client)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's resources: %w", err)
	}
	m.known = known
	return known, nil
}

// forget says whether everything that was known has been forgotten. That is refused when it was done a moment ago.
func (m *mapper) forget() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.forgotten) < time.Second {
		return false
	}
	m.known, m.forgotten = nil, time.Now()
	return true
}

// Fresh returns a client that acts as c does, and knows nothing yet of what the cluster serves.
func (c *Client) Fresh() *Client {
	fresh := *c
	fresh.mapper = &mapper{config: c.mapper.config, client: c.mapper.client}
	fresh.Mapper = fresh.mapper
	return &fresh
}

// KindFor implements meta.RESTMapper.
func (m *mapper) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	known, err := m.get()
	if err != nil {
		return schema.GroupVersionKind{}, err
	}
	return known.KindFor(resource)
}

// KindsFor implements meta.RESTMapper.
func (m *mapper) KindsFor(resource schema.GroupVersionResource) ([]schema.GroupVersionKind, error) {
	known, err := m.get()
	if err != nil {
		return nil, err
	}
	return known.KindsFor(resource)
}

// ResourceFor implements meta.RESTMapper.
func (m *mapper) ResourceFor(input schema.GroupVersionResource) (schema.GroupVersionResource, error) {
	known, err := m.get()
	if err != nil {
		return schema.GroupVersionResource{}, err
	}
	return known.ResourceFor(input)
}

// ResourcesFor implements meta.RESTMapper.
func (m *mapper) ResourcesFor(input schema.GroupVersionResource) ([]schema.GroupVersionResource, error) {
	known, err := m.get()
	if err != nil {
		return nil, err
	}
	return known.ResourcesFor(input)
}

// RESTMapping implements meta.RESTMapper.
func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	known, err := m.get()
	if err != nil {
		return nil, err
	}
	return known.RESTMapping(kind, versions...)
}

// RESTMappings implements meta.RESTMapper.
func (m *mapper) RESTMappings(kind schema.GroupKind, versions ...string) ([]*meta.RESTMapping, error) {
	known, err := m.get()
	if err != nil {
		return nil, err
	}
	return known.RESTMappings(kind, versions...)
}

// ResourceSingularizer implements meta.RESTMapper.
func (m *mapper) ResourceSingularizer(resource string) (string, error) {
	known, err := m.get()
	if err != nil {
		return "", err
	}
	return known.ResourceSingularizer(resource)
}
