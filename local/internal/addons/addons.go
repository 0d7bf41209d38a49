// Package addons puts into a new cluster what every cluster is expected to have: DNS, a default storage class and ingress
// class, and names for the services beside it.
package addons

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/peyk/peyk/local/internal/cluster"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// Where the cluster's DNS runs.
const (
	DNSNamespace = "kube-system"
	DNSSelector  = "k8s-app=kube-dns"
)

// owner is the field manager of everything that this package applies.
const owner = "peyk-local"

// Config is what the add-ons must know.
type Config struct {
	REST *rest.Config
	// Edge is the ingress class, EdgeController its controller name.
	Edge, EdgeController string
	// Provisioner is the provisioner of the default storage class.
	Provisioner string
	// S3 says whether an object store is beside the cluster.
	S3 bool
}

// service is a service beside the cluster.
type service struct {
	Name  string
	Ports []port
}

type port struct {
	Name         string
	Port, Target int
}

// Apply applies every add-on, and returns when the API server has taken them.
func Apply(ctx context.Context, c Config) error {
	objects, err := render(c)
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(c.REST)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.REST)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	for _, o := range objects {
		if err := apply(ctx, client, mapper, o); err != nil {
			return err
		}
	}
	return nil
}

func apply(ctx context.Context, client dynamic.Interface, mapper *restmapper.DeferredDiscoveryRESTMapper, o *unstructured.Unstructured) error {
	gvk := o.GroupVersionKind()
	id := fmt.Sprintf("%s %s", gvk.Kind, o.GetName())
	m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return fmt.Errorf("finding the resource of %s: %w", id, err)
	}
	_, err = client.Resource(m.Resource).Namespace(o.GetNamespace()).Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: owner, Force: true})
	if err != nil {
		return fmt.Errorf("applying %s: %w", id, err)
	}
	return nil
}

// render returns the objects of the manifests in their order.
func render(c Config) ([]*unstructured.Unstructured, error) {
	values := map[string]any{
		"Domain":         cluster.Domain,
		"DNSIP":          cluster.DNSIP,
		"HubIP":          cluster.HubIP,
		"CoreDNSImage":   corednsImage,
		"Provisioner":    c.Provisioner,
		"Edge":           c.Edge,
		"EdgeController": c.EdgeController,
		"Services":       services(c),
	}
	files, err := fs.Glob(manifests, "manifests/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the add-ons: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, f := range files {
		t, err := template.ParseFS(manifests, f)
		if err != nil {
			return nil, fmt.Errorf("reading the add-on %s: %w", f, err)
		}
		var text bytes.Buffer
		if err := t.Execute(&text, values); err != nil {
			return nil, fmt.Errorf("filling in the add-on %s: %w", f, err)
		}
		if objects, err = decode(objects, &text); err != nil {
			return nil, fmt.Errorf("decoding the add-on %s: %w", f, err)
		}
	}
	return objects, nil
}

// services are those beside the cluster.
func services(c Config) []service {
	all := []service{
		{"git", []port{{"http", 80, cluster.HubGitPort}}},
		{"registry", []port{{"http", 80, cluster.HubRegistryPort}}},
		{"edge", []port{{"http", 80, cluster.HubHTTPPort}, {"https", 443, cluster.HubHTTPSPort}}},
	}
	if c.S3 {
		all = append(all, service{"s3", []port{{"http", 80, cluster.HubS3Port}}})
	}
	return all
}

func decode(objects []*unstructured.Unstructured, text io.Reader) ([]*unstructured.Unstructured, error) {
	d := yaml.NewYAMLOrJSONDecoder(text, 4096)
	for {
		o := &unstructured.Unstructured{}
		err := d.Decode(o)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}
