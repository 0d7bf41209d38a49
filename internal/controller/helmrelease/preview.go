package helmrelease

import (
	"context"
	"fmt"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
)

// Material is what a HelmRelease is rendered from outside of the operator.
type Material struct {
	// Reader reads the Secrets and ConfigMaps of spec.valuesFrom.
	Reader client.Reader
	// Clients reach the cluster, and others for spec.kubeConfig, with the rights of whoever asks.
	Clients *kube.Pool
	// Chart is what the source of the chart has.
	Chart *source.Found
}

// Preview renders what the operator would apply for a HelmRelease, and changes nothing. It returns the client of the cluster
// that the objects are for, too.
func Preview(ctx context.Context, obj *v2.HelmRelease, m Material) (*helm.Rendered, *kube.Client, error) {
	p := &pass{
		Controller: &Controller{direct: m.Reader, Deps: Deps{Clients: m.Clients}},
		obj:        obj.DeepCopy(), memo: &memo{}, found: m.Chart,
	}
	p.obj.Spec.ServiceAccountName = ""
	if err := p.validate(ctx); err != nil {
		return nil, nil, err
	}
	var err error
	if p.values, err = p.mergeValues(ctx); err != nil {
		return nil, nil, err
	}
	if err := p.openChart(ctx); err != nil {
		return nil, nil, err
	}
	if p.cluster, err = p.clientOf(ctx, p.obj); err != nil {
		return nil, nil, err
	}
	engine, err := helm.NewEngine(p.cluster)
	if err != nil {
		return nil, nil, err
	}
	request := helm.Request{
		Namespace: p.obj.GetReleaseNamespace(), Name: p.releaseName(), Storage: p.obj.GetStorageNamespace(),
		Chart: p.chart, Values: p.values, Manager: helm.HelmReleaseManager,
	}
	last, err := engine.Read(ctx, request.Storage, request.Name, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the release: %w", err)
	}
	var next action = install{}
	if last != nil {
		next = upgrade{}
	}
	next.request(p, &request)
	rendered, err := engine.Template(ctx, request)
	return rendered, p.cluster, err
}

// ChartOf returns the HelmChart that the operator would make for spec.chart.
func ChartOf(obj *v2.HelmRelease) (*sourcev1.HelmChart, error) {
	chart := &sourcev1.HelmChart{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(templateOf(obj).Object, chart); err != nil {
		return nil, fmt.Errorf("reading spec.chart: %w", err)
	}
	return chart, nil
}

// Values returns the values that the operator would use for a HelmRelease.
func Values(ctx context.Context, obj *v2.HelmRelease, reader client.Reader) (map[string]any, error) {
	p := &pass{Controller: &Controller{direct: reader}, obj: obj}
	return p.mergeValues(ctx)
}
