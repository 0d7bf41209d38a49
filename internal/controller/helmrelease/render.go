package helmrelease

import (
	"fmt"

	v2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// rendering completes what Helm is asked for to render the chart.
func (p *pass) rendering(r *helm.Request, crds, otherwise v2.CRDsPolicy) {
	if crds == "" {
		crds = otherwise
	}
	r.CRDs, r.CRDLabels = helm.CRDPolicy(crds), originLabels(p.obj)
	r.Post = postRenderer(p.obj.DeepCopy())
	r.PostRenderStrategy = helm.PostRenderStrategy(p.obj.GetPostRenderStrategy())
	if r.PostRenderStrategy == "" {
		r.PostRenderStrategy = helm.PostRenderCombined
	}
}

// postRenderer does what spec.postRenderers say, then sets the common metadata, and last the labels that name the
// HelmRelease.
func postRenderer(obj *v2.HelmRelease) helm.PostRenderer {
	labels, annotations := map[string]string{}, map[string]string{}
	if m := obj.Spec.CommonMetadata; m != nil {
		for key, value := range m.Labels {
			labels[key] = value
		}
		annotations = m.Annotations
	}
	for key, value := range originLabels(obj) {
		labels[key] = value
	}
	mark := helm.Metadata(labels, annotations)
	return func(manifest []byte) ([]byte, error) {
		for i, renderer := range obj.Spec.PostRenderers {
			if renderer.Kustomize == nil {
				continue
			}
			var err error
			manifest, err = kustomize.PostRender(manifest, renderer.Kustomize.Patches, renderer.Kustomize.Images)
			if err != nil {
				return nil, fmt.Errorf("spec.postRenderers[%d].kustomize: %w", i, err)
			}
		}
		return mark(manifest)
	}
}

// waitFor says what an action waits for.
func (p *pass) waitFor(disabled bool) helm.Wait {
	switch {
	case disabled:
		return helm.WaitHooks
	case p.obj.GetWaitStrategy() == v2.WaitStrategyLegacy:
		return helm.WaitLegacy
	}
	return helm.WaitObjects
}
