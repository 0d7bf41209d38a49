package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newTrace() *cobra.Command {
	var kindName, version string
	cmd := &cobra.Command{
		Use:   "trace RESOURCE NAME",
		Short: "Say which Kustomization or HelmRelease an object comes from, and from which source and revision",
		Long: `Say which Kustomization or HelmRelease an object comes from, from which source and revision that was made, and how the
last reconciliations went. Objects that others own, such as Pods, are followed to what was applied.`,
		Example: `  peyk trace deployment my-app -n apps

  # several objects
  peyk trace pod/redis-0 cm/redis -n redis

  peyk trace my-app --kind Deployment --api-version apps/v1 -n apps`,
		Args: wants(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (kindName == "") != (version == "") {
				return usagef("give both --kind and --api-version, or none of them")
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			var keys []traced
			if kindName != "" {
				keys, err = byVersion(kindName, version, args)
			} else {
				keys, err = byResource(cluster, args)
			}
			if err != nil {
				return err
			}
			return traceAll(ctx, cmd, cluster, keys)
		},
	}
	cmd.Flags().StringVar(&kindName, "kind", "", "kind of the object, such as Deployment")
	cmd.Flags().StringVar(&version, "api-version", "", "API version of the kind, such as apps/v1")
	return cmd
}

// traced is an object that a trace begins with.
type traced struct {
	gvk  schema.GroupVersionKind
	name string
}

func byVersion(kindName, version string, names []string) ([]traced, error) {
	parsed, err := schema.ParseGroupVersion(version)
	if err != nil {
		return nil, usagef("API version %q: %w", version, err)
	}
	var keys []traced
	for _, name := range names {
		keys = append(keys, traced{parsed.WithKind(kindName), name})
	}
	return keys, nil
}

// byResource reads resource/name arguments, or one resource and names.
func byResource(cluster *Cluster, args []string) ([]traced, error) {
	mapper, err := cluster.mapper()
	if err != nil {
		return nil, err
	}
	if !strings.Contains(args[0], "/") {
		if len(args) < 2 {
			return nil, usagef("name the object as RESOURCE NAME or RESOURCE/NAME")
		}
		for i, name := range args[1:] {
			args[i+1] = args[0] + "/" + name
		}
		args = args[1:]
	}
	var keys []traced
	for _, arg := range args {
		resource, name, found := strings.Cut(arg, "/")
		if !found || name == "" {
			return nil, usagef("%q: name the object as RESOURCE/NAME", arg)
		}
		gvk, err := mapper.KindFor(schema.ParseGroupResource(strings.ToLower(resource)).WithVersion(""))
		if meta.IsNoMatchError(err) {
			return nil, fmt.Errorf("the cluster has no resource %q: see 'kubectl api-resources'", resource)
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, traced{gvk, name})
	}
	return keys, nil
}

// mapper knows the resources of the cluster and their short names.
func (c *Cluster) mapper() (meta.RESTMapper, error) {
	if c.Config == nil {
		return c.Client.RESTMapper(), nil
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	groups, err := restmapper.GetAPIGroupResources(d)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's resources: %w", err)
	}
	cached := cachedDiscovery{d}
	return restmapper.NewShortcutExpander(restmapper.NewDiscoveryRESTMapper(groups), cached, nil), nil
}

// cachedDiscovery is for one command, which needs nothing twice.
type cachedDiscovery struct{ *discovery.DiscoveryClient }

func (cachedDiscovery) Fresh() bool { return true }
func (cachedDiscovery) Invalidate() {}

func traceAll(ctx context.Context, cmd *cobra.Command, cluster *Cluster, keys []traced) error {
	t := tracer{client: cluster.Client}
	var failed []error
	for i, key := range keys {
		blocks, err := t.trace(ctx, key, cluster.Namespace)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if i > 0 {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), "---")
		}
		_, _ = fmt.Fprint(cmd.OutOrStdout(), "\n", strings.Join(blocks, "---\n"))
	}
	return errors.Join(failed...)
}

// tracer follows an object to where it comes from.
type tracer struct{ client client.Client }

func (t tracer) trace(ctx context.Context, key traced, namespace string) ([]string, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(key.gvk)
	at := client.ObjectKey{Namespace: namespace, Name: key.name}
	if mapping, err := t.client.RESTMapper().RESTMapping(key.gvk.GroupKind(), key.gvk.Version); err == nil && mapping.Scope.Name() == meta.RESTScopeNameRoot {
		at.Namespace = ""
	}
	if err := t.client.Get(ctx, at, object); apierrors.IsNotFound(err) {
		return nil, notFoundError{fmt.Errorf("there is no %s %q%s", key.gvk.Kind, key.name, where(at))}
	} else if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", key.gvk.Kind, key.name, err)
	}
	owner, of, err := t.owner(ctx, object)
	if err != nil {
		return nil, err
	}
	switch of {
	case ksv1.KustomizationKind:
		return t.kustomization(ctx, owner, object)
	case helmv2.HelmReleaseKind:
		return t.release(ctx, owner, object)
	}
	return nil, fmt.Errorf("%s %s is not managed by Peyk: neither it nor what owns it has the labels of a Kustomization or HelmRelease", object.GetKind(), describe(at))
}

// owner finds the Kustomization or HelmRelease that the labels of the object, or of what owns it, name.
func (t tracer) owner(ctx context.Context, object *unstructured.Unstructured) (client.ObjectKey, string, error) {
	for _, k := range []kind{kustomizations(), helmReleases()} {
		labels := object.GetLabels()
		key := client.ObjectKey{Namespace: labels[k.gvk.Group+"/namespace"], Name: labels[k.gvk.Group+"/name"]}
		if key.Name != "" && key.Namespace != "" {
			return key, k.gvk.Kind, nil
		}
	}
	for _, ref := range object.GetOwnerReferences() {
		above := &unstructured.Unstructured{}
		above.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
		err := t.client.Get(ctx, client.ObjectKey{Namespace: object.GetNamespace(), Name: ref.Name}, above)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return client.ObjectKey{}, "", fmt.Errorf("reading %s %s: %w", ref.Kind, ref.Name, err)
		}
		if key, of, err := t.owner(ctx, above); err != nil || of != "" {
			return key, of, err
		}
	}
	return client.ObjectKey{}, "", nil
}
