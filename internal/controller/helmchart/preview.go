package helmchart

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/render/helm"
)

// Material is what a HelmChart is made of outside of the operator.
type Material struct {
	// Artifacts holds what the chart's source has, unless that is a registry; the chart goes there.
	Artifacts *artifact.Store
	Charts    *helm.Store
	// Reader reads the source and its Secrets.
	Reader client.Reader
}

// Preview makes the chart that the operator would make for a HelmChart. The cluster is not changed.
func Preview(ctx context.Context, obj *sourcev1.HelmChart, m Material) (*artifact.Artifact, error) {
	c := &Controller{artifacts: m.Artifacts, charts: m.Charts, indexes: newIndexes(), reader: m.Reader, secrets: m.Reader}
	p := &pass{Controller: c, obj: obj.DeepCopy(), release: func() {}}
	defer func() { p.release() }()
	phases := []func(context.Context) error{p.findSource, p.findChart, p.verification().Run, p.pull, p.build}
	for _, run := range phases {
		if err := run(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.store(ctx); err != nil {
		return nil, err
	}
	return p.stored, nil
}
