package hooks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/controller/pack"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/tenancy"
)

// Charts render Packs as their controller does, with the rights that they act with.
type Charts struct {
	Reader  client.Reader
	Clients *kube.Pool
	Catalog *helm.Catalog
	Policy  tenancy.Policy
	// Engines are kept between calls: what the cluster serves is asked for once.
	Engines *helm.Engines
}

// Images implements Releases.
func (c Charts) Images(ctx context.Context, obj *packv1.Pack) ([]Use, error) {
	actor, err := c.Clients.For(c.Policy.Identity(obj.Namespace, ""))
	if err != nil {
		return nil, err
	}
	engine, err := c.Engines.For(actor)
	if err != nil {
		return nil, err
	}
	rendered, err := pack.Preview(ctx, obj, pack.Material{Reader: c.Reader, Client: actor, Catalog: c.Catalog, Engine: engine})
	if err != nil && reconcile.ReasonOf(err) == "Invalid" {
		return nil, &InvalidError{err}
	}
	if err != nil {
		return nil, err
	}
	var all []Use
	for _, object := range rendered.Objects {
		all = append(all, uses(object.Object)...)
	}
	return all, nil
}

// uses finds the templates of pods in an object, wherever its kind has them.
func uses(node any) []Use {
	var found []Use
	switch node := node.(type) {
	case map[string]any:
		pod := Use{PullSecrets: names(node["imagePullSecrets"])}
		pod.ServiceAccount, _ = node["serviceAccountName"].(string)
		for _, field := range []string{"initContainers", "containers"} {
			for _, image := range fields(node[field], "image") {
				pod.Reference = image
				found = append(found, pod)
			}
		}
		for _, child := range node {
			found = append(found, uses(child)...)
		}
	case []any:
		for _, child := range node {
			found = append(found, uses(child)...)
		}
	}
	slices.SortFunc(found, func(a, b Use) int { return strings.Compare(a.Reference, b.Reference) })
	return slices.CompactFunc(found, func(a, b Use) bool { return a.Reference == b.Reference })
}

func names(list any) []string { return fields(list, "name") }

// fields returns a field of every object of a list.
func fields(list any, field string) []string {
	items, _ := list.([]any)
	var all []string
	for _, item := range items {
		object, _ := item.(map[string]any)
		if text, ok := object[field].(string); ok && text != "" {
			all = append(all, text)
		}
	}
	return all
}

// Registries ask registries with the credentials that the workloads have.
type Registries struct {
	// Reader reads Secrets, past a cache.
	Reader client.Reader
	Pool   *registry.Pool
}

// Digest implements Tags.
func (r Registries) Digest(ctx context.Context, namespace string, use Use) (string, error) {
	repository, err := registry.Repository(use.Reference)
	if err != nil {
		return "", &AbsentError{err}
	}
	tag := "latest"
	if last := use.Reference[strings.LastIndexByte(use.Reference, '/')+1:]; strings.Contains(last, ":") {
		_, tag, _ = strings.Cut(last, ":")
	}
	credentials, err := r.access(ctx, namespace, use)
	if err != nil {
		return "", err
	}
	reader, err := r.Pool.Reader(registry.Host(repository), credentials)
	if err != nil {
		return "", err
	}
	digest, err := reader.Digest(ctx, repository, tag)
	if kind := registry.KindOf(err); err != nil && (kind == registry.Absent || kind == registry.Invalid) {
		return "", &AbsentError{err}
	}
	return digest, err
}

// access gathers the pull secrets of a workload and of its service account. Those that are not there cannot be meant: the
// chart may be about to make them.
func (r Registries) access(ctx context.Context, namespace string, use Use) (registry.Access, error) {
	var found registry.Access
	account := use.ServiceAccount
	if account == "" {
		account = "default"
	}
	wanted := slices.Clone(use.PullSecrets)
	var obj corev1.ServiceAccount
	switch err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: account}, &obj); {
	case err == nil:
		for _, ref := range obj.ImagePullSecrets {
			wanted = append(wanted, ref.Name)
		}
	case !apierrors.IsNotFound(err):
		return found, fmt.Errorf("reading ServiceAccount %s: %w", account, err)
	}
	for _, name := range wanted {
		var secret corev1.Secret
		err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return found, fmt.Errorf("reading Secret %s: %w", name, err)
		}
		if err := access.Docker(&found, "imagePullSecrets", &secret); err != nil {
			return found, err
		}
	}
	return found, nil
}
