// Package install puts Peyk into a cluster: it renders the objects of an installation, applies them, and waits until
// the operator runs.
package install

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/registry"
)

// DefaultNamespace is where Peyk lives unless it is told otherwise.
const DefaultNamespace = "peyk-system"

//go:embed manifests/*.yaml
var manifests embed.FS

// Options are what differs between installations.
type Options struct {
	// Image of the operator.
	Image string
	// Namespace that the operator runs in.
	Namespace string
	// IngressHost is the host name under which webhooks reach Peyk from outside the cluster. Empty: no Ingress.
	IngressHost string
	// MultiTenant keeps tenants apart: see tenancy.Policy.LockDown.
	MultiTenant bool
}

func (o Options) check() error {
	if o.Image == "" {
		return errors.New("no image: this is a development build, which has no published image; build and push one with 'peyk build ./cmd/peyk --tag REF --push' and give its reference with --image")
	}
	if _, err := registry.Repository(o.Image); err != nil {
		return err
	}
	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		return fmt.Errorf("namespace %q: %s", o.Namespace, strings.Join(problems, ", "))
	}
	if o.IngressHost == "" {
		return nil
	}
	if problems := validation.IsDNS1123Subdomain(o.IngressHost); len(problems) > 0 {
		return fmt.Errorf("ingress host %q: %s", o.IngressHost, strings.Join(problems, ", "))
	}
	return nil
}

// Objects returns the objects of an installation in the order in which they are applied: the namespace, the definitions,
// the rest.
func Objects(o Options) ([]*unstructured.Unstructured, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	objects, err := render("namespace.yaml", o)
	if err != nil {
		return nil, err
	}
	definitions, err := crds.All()
	if err != nil {
		return nil, err
	}
	objects = append(objects, definitions...)
	files := []string{"access.yaml", "roles.yaml", "service.yaml", "deployment.yaml", "admission.yaml"}
	if o.IngressHost != "" {
		files = append(files, "ingress.yaml")
	}
	for _, file := range files {
		rendered, err := render(file, o)
		if err != nil {
			return nil, err
		}
		objects = append(objects, rendered...)
	}
	return objects, nil
}

// Export writes objects as one YAML stream, such as kubectl apply -f - reads.
func Export(w io.Writer, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		data, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", label(object), err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
			return fmt.Errorf("writing %s: %w", label(object), err)
		}
	}
	return nil
}

func render(file string, o Options) ([]*unstructured.Unstructured, error) {
	parsed, err := template.New(file).Option("missingkey=error").
		Funcs(template.FuncMap{"quote": strconv.Quote}).ParseFS(manifests, "manifests/"+file)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, o); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", file, err)
	}
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(&text, 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decoding %s: %w", file, err)
		}
		objects = append(objects, object)
	}
}

// label names an object for people.
func label(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetName()
}
