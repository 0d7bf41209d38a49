package helm

import (
	"fmt"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"

	"github.com/peyk/peyk/internal/kube"
)

// freshness is how long templates may see an old list of the cluster's API versions.
const freshness = 30 * time.Second

// served remembers what a cluster serves, for all who act in it: asking costs several calls, and the answer is large. It is
// asked with the rights that the cluster is reached with.
type served struct {
	discovery discovery.CachedDiscoveryInterface

	mu    sync.Mutex
	found *common.Capabilities
	at    time.Time
}

func servedTo(client *kube.Client) (*served, error) {
	config := client.Own().Config()
	config.QPS = -1
	asks, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the discovery client: %w", err)
	}
	return &served{discovery: memory.NewMemCacheClient(asks)}, nil
}

// capabilities returns what templates are told of the cluster.
func (s *served) capabilities() (*common.Capabilities, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.found != nil && time.Since(s.at) < freshness {
		return s.found, nil
	}
	s.discovery.Invalidate()
	version, err := s.discovery.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its version: %w", err)
	}
	apis, err := action.GetVersionSet(s.discovery)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("asking the cluster for its APIs: %w", err)
	}
	s.found, s.at = &common.Capabilities{
		APIVersions: apis,
		KubeVersion: common.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		HelmVersion: common.DefaultCapabilities.HelmVersion,
	}, time.Now()
	return s.found, nil
}

func (s *served) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = nil
}
