package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/controller/helmrelease"
	"github.com/peyk/peyk/internal/controller/pack"
	"github.com/peyk/peyk/internal/controller/packrepository"
	"github.com/peyk/peyk/internal/install"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
)

// releaseBuild renders a HelmRelease or Pack with the engines of the operator, and the rights of the user.
type releaseBuild struct {
	file, chart string
	sources     map[string]string
}

func (b *releaseBuild) flags(cmd *cobra.Command, k kind) {
	flags := cmd.Flags()
	flags.StringVarP(&b.file, "filename", "f", "", "file with the "+k.gvk.Kind+" as it is to become, in place of the one in the cluster")
	flags.StringVar(&b.chart, "chart", "", "chart on this machine, a folder or an archive, in place of the one that the "+k.gvk.Kind+" names")
	if k.gvk.Kind == helmv2.HelmReleaseKind {
		flags.StringToStringVar(&b.sources, "local-sources", nil, "folders that stand for sources, as Kind/namespace/name=folder")
	}
}

func (b *releaseBuild) check() error {
	for name, path := range map[string]string{"filename": b.file, "chart": b.chart} {
		if _, err := os.Stat(path); path != "" && err != nil {
			return usagef("--%s %q: name a file that exists", name, path)
		}
	}
	for source, folder := range b.sources {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() || strings.Count(source, "/") != 2 {
			return usagef("--local-sources %s=%s: write Kind/namespace/name=FOLDER, with a folder that exists", source, folder)
		}
	}
	return nil
}

// owner reads the HelmRelease or Pack from the file or from the cluster.
func (b *releaseBuild) owner(ctx context.Context, cluster *Cluster, k kind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	if b.file == "" {
		return getObject(ctx, cluster.Client, k, key)
	}
	found, err := findDocument(b.file, k, key)
	if err != nil {
		return nil, err
	}
	found.SetNamespace(cmp.Or(found.GetNamespace(), key.Namespace, "default"))
	live, err := getObject(ctx, cluster.Client, k, client.ObjectKeyFromObject(found))
	if _, missing := errors.AsType[notFoundError](err); err != nil && !missing {
		return nil, err
	}
	if err == nil {
		found.SetUID(live.GetUID())
		found.Object["status"] = live.Object["status"]
	}
	return found, nil
}

// render renders what the operator would apply. The client is that of the cluster it would be applied to.
func (b *releaseBuild) render(ctx context.Context, cluster *Cluster, owner *unstructured.Unstructured) (*helm.Rendered, client.Client, error) {
	if cluster.Config == nil {
		return nil, nil, errors.New("rendering a chart needs a cluster")
	}
	clients, err := kube.NewPool(cluster.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("making the client: %w", err)
	}
	w, err := newWorkshop(cluster, b.sources)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = w.close() }()
	if owner.GetKind() == packv1.PackKind {
		rendered, err := b.pack(ctx, w, clients, owner)
		return rendered, cluster.Client, err
	}
	return b.helmRelease(ctx, w, clients, owner)
}

func (b *releaseBuild) helmRelease(ctx context.Context, w *workshop, clients *kube.Pool, owner *unstructured.Unstructured) (*helm.Rendered, client.Client, error) {
	hr := &helmv2.HelmRelease{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(owner.Object, hr); err != nil {
		return nil, nil, fmt.Errorf("reading HelmRelease %s: %w", owner.GetName(), err)
	}
	found := &source.Found{Artifact: &artifact.Artifact{File: b.chart}}
	if b.chart == "" {
		var err error
		if found, err = w.chartOf(ctx, hr); err != nil {
			return nil, nil, err
		}
	}
	rendered, target, err := helmrelease.Preview(ctx, hr, helmrelease.Material{Reader: w.cluster.Client, Clients: clients, Chart: found})
	if err != nil || hr.Spec.KubeConfig == nil {
		return rendered, w.cluster.Client, err
	}
	elsewhere, err := client.New(target.Config(), client.Options{Scheme: w.cluster.Client.Scheme()})
	return rendered, elsewhere, err
}

func (b *releaseBuild) pack(ctx context.Context, w *workshop, clients *kube.Pool, owner *unstructured.Unstructured) (*helm.Rendered, error) {
	obj := &packv1.Pack{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(owner.Object, obj); err != nil {
		return nil, fmt.Errorf("reading Pack %s: %w", owner.GetName(), err)
	}
	own, err := clients.For(kube.Identity{})
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	material := pack.Material{Reader: w.cluster.Client, Client: own, Catalog: helm.NewCatalog(w.charts)}
	if b.chart != "" {
		if material.Chart, err = helm.ChartFromFile(b.chart, ""); err != nil {
			return nil, err
		}
	} else if err := w.readRepositories(ctx, obj, material.Catalog); err != nil {
		return nil, err
	}
	return pack.Preview(ctx, obj, material)
}

// readRepositories reads the repositories that the chart of a Pack may be in. One that cannot be read may not be needed, so
// that is told by whoever misses it.
func (w *workshop) readRepositories(ctx context.Context, obj *packv1.Pack, catalog *helm.Catalog) error {
	shared, own := &packv1.ClusterPackRepositoryList{}, &packv1.PackRepositoryList{}
	if err := w.cluster.Client.List(ctx, shared); err != nil {
		return fmt.Errorf("listing the ClusterPackRepositories: %w", err)
	}
	if err := w.cluster.Client.List(ctx, own, client.InNamespace(obj.Namespace)); err != nil {
		return fmt.Errorf("listing the PackRepositories: %w", err)
	}
	var candidates []client.Object
	for i := range shared.Items {
		candidates = append(candidates, &shared.Items[i])
	}
	for i := range own.Items {
		candidates = append(candidates, &own.Items[i])
	}
	m := packrepository.Material{Catalog: catalog, Reader: w.cluster.Client, Namespace: install.DefaultNamespace}
	for _, candidate := range candidates {
		if named := obj.Spec.Chart.Repository; named != nil && !strings.Contains(named.Name, "{{") && named.Name != candidate.GetName() {
			continue
		}
		_ = packrepository.Read(ctx, candidate, m)
	}
	return nil
}
