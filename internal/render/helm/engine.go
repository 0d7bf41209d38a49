package helm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	helmkube "helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/peyk/peyk/internal/kube"
)

// FieldManager is the field manager of what is applied for Packs, as for the helm command line. HelmReleaseManager is that
// of what is applied for HelmReleases, as by Flux.
const (
	FieldManager       = "helm"
	HelmReleaseManager = "helm-controller"
)

// nameFieldManager tells Helm, which keeps this in a variable of its package and uses it for what is not applied by the
// server, once in a process.
var nameFieldManager = sync.OnceFunc(func() { helmkube.ManagedFieldsManager = HelmReleaseManager })

// Engine installs, upgrades, rolls back, tests and uninstalls releases in one cluster, on behalf of one identity. It is safe
// for concurrent use, for different releases.
type Engine struct {
	objects ObjectReader
	// configure returns what the Helm SDK needs for a task.
	configure func(*task) (*action.Configuration, error)
	// holder marks the releases that this process works on, so that the next one knows them as interrupted.
	holder string
	claims typedcorev1.PersistentVolumeClaimsGetter
	now    func() time.Time
	slots  slots
	served *served
}

// task is one action on one release.
type task struct {
	namespace, storage string
	name               string
	fresh              bool // nothing is recorded yet
	manager, owner     string
	waitCtx            context.Context // cancelled when it is no use to wait for the objects any longer
	readiness          Readiness
	slots              slots
	log                slog.Handler
	observe            func(Observed)
	live               *answers // what the API server made of the objects; nil when nobody wants to know
	records            *records
	client             *client
}

// NewEngine returns an Engine that acts as client does.
func NewEngine(client *kube.Client) (*Engine, error) {
	served, err := servedTo(client)
	if err != nil {
		return nil, err
	}
	return newClientEngine(client, served)
}

func newClientEngine(objects *kube.Client, served *served) (*Engine, error) {
	nameFieldManager()
	config := objects.Config()
	config.QPS = -1
	core, err := typedcorev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making Helm's client: %w", err)
	}
	e, err := newEngine(objects)
	if err != nil {
		return nil, err
	}
	e.claims, e.served = core, served
	e.configure = func(t *task) (*action.Configuration, error) {
		found, err := served.capabilities()
		if err != nil {
			return nil, err
		}
		get := getter{config: config, discovery: served.discovery, mapper: objects.Mapper, namespace: t.namespace}
		t.client = &client{Client: helmkube.New(get), way: way{serverSide: true}, objects: objects}
		t.client.Namespace = t.namespace
		t.client.SetLogger(t.log)
		t.records = newRecords(core.Secrets(t.storage), t.owner)
		t.records.listed[t.name] = t.fresh
		releases := driver.NewSecrets(t.records)
		releases.SetLogger(slog.DiscardHandler)
		c := action.NewConfiguration(action.ConfigurationSetLogger(t.log))
		c.RESTClientGetter, c.KubeClient, c.Releases, c.Capabilities = get, t.client, storage.Init(releases), found
		c.HookOutputFunc = func(string, string, string) io.Writer { return io.Discard }
		c.Releases.SetLogger(slog.DiscardHandler)
		return c, nil
	}
	return e, nil
}

// begin prepares an action.
func (e *Engine) begin(t *task) (*action.Configuration, error) {
	if t.storage == "" {
		t.storage = t.namespace
	}
	if t.manager == "" {
		t.manager = FieldManager
	}
	if t.log == nil {
		t.log = slog.DiscardHandler
	}
	if t.waitCtx == nil {
		t.waitCtx = context.Background()
	}
	t.slots = e.slots
	c, err := e.configure(t)
	if err != nil {
		return nil, err
	}
	if t.client != nil {
		t.client.task = *t
	}
	if t.observe != nil {
		c.Releases.Driver = observed{c.Releases.Driver, func(r *release.Release) { t.observe(observe(r, t.records)) }}
	}
	return c, nil
}

func newEngine(objects ObjectReader) (*Engine, error) {
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, fmt.Errorf("making the process's id: %w", err)
	}
	return &Engine{objects: objects, holder: hex.EncodeToString(id), now: time.Now, slots: newSlots()}, nil
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
