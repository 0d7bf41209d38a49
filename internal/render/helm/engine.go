package helm

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	helmkube "helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/peyk/peyk/internal/kube"
)

// FieldManager is the field manager of everything that Helm applies, for Peyk as for the helm command line.
const FieldManager = "helm"

// nameFieldManager tells Helm, which keeps this in a variable of its package, once in a process.
var nameFieldManager = sync.OnceFunc(func() { helmkube.ManagedFieldsManager = FieldManager })

// Engine installs, upgrades and uninstalls releases in one cluster. It is safe for concurrent use, for different
// releases.
type Engine struct {
	objects ObjectReader
	// configure returns what the Helm SDK needs to act in a namespace.
	configure func(namespace string) (*action.Configuration, error)
	// holder marks the releases that this process works on, so that the next one knows them as interrupted.
	holder string
	now    func() time.Time

	capabilities capabilities
}

// NewEngine returns an Engine that acts with config. Objects reads from the same cluster.
func NewEngine(config *rest.Config, objects *kube.Client) (*Engine, error) {
	nameFieldManager()
	config = rest.CopyConfig(config)
	config.QPS = -1
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making Helm's client: %w", err)
	}
	cached := memory.NewMemCacheClient(clients.Discovery())
	e, err := newEngine(objects)
	if err != nil {
		return nil, err
	}
	e.configure = func(namespace string) (*action.Configuration, error) {
		found, err := e.capabilities.get(cached)
		if err != nil {
			return nil, err
		}
		get := getter{config: config, discovery: cached, mapper: objects.Mapper, namespace: namespace}
		client := helmkube.New(get)
		client.Namespace = namespace
		client.SetLogger(slog.DiscardHandler)
		releases := driver.NewSecrets(clients.CoreV1().Secrets(namespace))
		releases.SetLogger(slog.DiscardHandler)
		c := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
		c.RESTClientGetter, c.KubeClient, c.Releases, c.Capabilities = get, client, storage.Init(releases), found
		c.Releases.SetLogger(slog.DiscardHandler)
		return c, nil
	}
	return e, nil
}

func newEngine(objects ObjectReader) (*Engine, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("making the process's id: %w", err)
	}
	return &Engine{objects: objects, holder: hex.EncodeToString(id), now: time.Now}, nil
}

// getter hands the shared clients to the Helm SDK.
type getter struct {
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
	namespace string
}

func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(clientcmdapi.Config{}, overrides)
}

// freshness is how long templates may see an old list of the cluster's API versions.
const freshness = 30 * time.Second

// capabilities remembers what templates are told of the cluster: asking costs several calls.
type capabilities struct {
	mu    sync.Mutex
	found *common.Capabilities
	at    time.Time
}

func (c *capabilities) get(cluster discovery.CachedDiscoveryInterface) (*common.Capabilities, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found != nil && time.Since(c.at) < freshness {
		return c.found, nil
	}
	cluster.Invalidate()
	version, err := cluster.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its version: %w", err)
	}
	apis, err := action.GetVersionSet(cluster)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("asking the cluster for its APIs: %w", err)
	}
	c.found, c.at = &common.Capabilities{
		APIVersions: apis,
		KubeVersion: common.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
		HelmVersion: common.DefaultCapabilities.HelmVersion,
	}, time.Now()
	return c.found, nil
}

func (c *capabilities) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found = nil
}
