package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	helmkube "helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery"
	memcache "k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/peyk/peyk/internal/testkit"
)

// packName stands for the name of an application in what was rendered once for all of them.
const packName = "name-of-the-pack"

// packVersion stands for the version in the same way.
const packVersion = "version-of-the-pack"

// packManifest is what the chart makes.
var packManifest = sync.OnceValues(func() (string, error) {
	loaded, err := loadPackChart()
	if err != nil {
		return "", err
	}
	return renderPack(loaded, packVersion)
})

func loadPackChart() (*chart.Chart, error) {
	root, err := testkit.Root()
	if err != nil {
		return nil, err
	}
	loaded, err := loader.LoadDir(filepath.Join(root, "charts", packChart))
	if err != nil {
		return nil, fmt.Errorf("loading the chart: %w", err)
	}
	return loaded, nil
}

func valuesOf(version string) (map[string]any, error) {
	return loader.LoadValues(strings.NewReader(fmt.Sprintf(packValues, 0, version)))
}

func renderPack(loaded *chart.Chart, version string) (string, error) {
	values, err := valuesOf(version)
	if err != nil {
		return "", err
	}
	install := action.NewInstall(action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler)))
	install.DryRunStrategy, install.ReleaseName, install.Namespace = action.DryRunClient, packName, "default"
	made, err := install.Run(loaded, values)
	if err != nil {
		return "", fmt.Errorf("rendering the chart: %w", err)
	}
	rendered, ok := made.(*release.Release)
	if !ok {
		return "", errors.New("rendering the chart: Helm returns something that is no release")
	}
	return rendered.Manifest, nil
}

// packFloor are the objects of a Pack, as its chart makes them.
func (r *round) packFloor(namespace string, i int, version string) ([]*unstructured.Unstructured, error) {
	text, err := packManifest()
	if err != nil {
		return nil, err
	}
	text = strings.NewReplacer(packName, appName(i), packVersion, version).Replace(text)
	var objects []*unstructured.Unstructured
	for part := range strings.SplitSeq("\n"+text, "\n---\n") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		parsed, err := parse(part)
		if err != nil {
			return nil, err
		}
		parsed[0].SetNamespace(namespace)
		objects = append(objects, parsed...)
	}
	return objects, nil
}

// helmFloor measures N installations by the bare Helm SDK, as many at a time as the operator makes, with the record that Helm keeps.
func (r *round) helmFloor(ctx context.Context) error {
	loaded, err := loadPackChart()
	if err != nil {
		return err
	}
	values, err := valuesOf("v1")
	if err != nil {
		return err
	}
	get, err := newGetter(r.cluster.kubeconfig)
	if err != nil {
		return err
	}
	var all []int
	for i := range r.n {
		all = append(all, i)
	}
	m, err := r.measure(ctx, "floor helm install", func(ctx context.Context) (outcome, error) {
		start := time.Now()
		err := each(ctx, r.o.concurrent, all, func(ctx context.Context, i int) error { return r.helmInstall(ctx, get, loaded, values, i) })
		return outcome{wall: time.Since(start)}, err
	})
	if err != nil {
		return err
	}
	for _, installed := range r.report.Results {
		if installed.N == r.n && installed.Scenario == "p install" {
			if installed.Notes == nil {
				installed.Notes = map[string]float64{}
			}
			installed.Notes["x helm"], installed.Notes["x helm CPU"] = installed.Seconds/m.Seconds, installed.allCPU()/m.allCPU()
		}
	}
	return nil
}

func (r *round) helmInstall(ctx context.Context, get *getter, loaded *chart.Chart, values map[string]any, i int) error {
	namespace := r.floorSpace("helm", i)
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := config.Init(get.in(namespace), namespace, "secret"); err != nil {
		return fmt.Errorf("making Helm's client: %w", err)
	}
	config.SetHookOutputFunc(func(string, string, string) io.Writer { return io.Discard })
	install := action.NewInstall(config)
	install.ReleaseName, install.Namespace, install.WaitStrategy, install.Timeout = appName(i), namespace, helmkube.HookOnlyStrategy, time.Minute
	if _, err := install.RunWithContext(ctx, loaded, values); err != nil {
		return fmt.Errorf("installing release %s: %w", appName(i), err)
	}
	return nil
}

// getter lets all installations share what discovery says, as one program with the SDK does it.
type getter struct {
	*genericclioptions.ConfigFlags
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
}

func newGetter(kubeconfig string) (*getter, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS = -1
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	cached := memcache.NewMemCacheClient(client)
	return &getter{config: config, discovery: cached, mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached)}, nil
}

// in returns the getter for a namespace.
func (g *getter) in(namespace string) *getter {
	own := *g
	own.ConfigFlags = genericclioptions.NewConfigFlags(false)
	own.Namespace = &namespace
	return &own
}

// ToRESTConfig implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

// ToDiscoveryClient implements genericclioptions.RESTClientGetter.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

// ToRESTMapper implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }
