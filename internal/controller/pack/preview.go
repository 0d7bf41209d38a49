package pack

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/vault"
)

// Material is what a Pack is rendered from outside of the operator.
type Material struct {
	// Reader reads the repositories.
	Reader client.Reader
	// Client reaches the cluster with the rights of whoever asks.
	Client *kube.Client
	// Catalog knows the repositories that the Pack may mean.
	Catalog *helm.Catalog
	// Chart takes the place of the one in spec.chart. Nil: that one.
	Chart *helm.Chart
	// Engine renders. Nil: one that asks the cluster anew what it serves.
	Engine *helm.Engine
}

// Preview renders what the operator would apply for a Pack, and changes nothing.
func Preview(ctx context.Context, obj *packv1.Pack, m Material) (*helm.Rendered, error) {
	p := &pass{
		Controller: &Controller{reader: m.Reader, catalog: m.Catalog, keyring: vault.NewKeyring(m.Reader, nil)}, obj: obj.DeepCopy(), key: client.ObjectKeyFromObject(obj), chart: m.Chart,
	}
	phases := []func(context.Context) error{p.resolveVars, p.findRepository, p.resolveChart, p.resolveValues}
	if m.Chart != nil {
		phases = []func(context.Context) error{p.resolveVars, p.resolveValues}
	}
	for _, run := range phases {
		if err := run(ctx); err != nil {
			return nil, err
		}
	}
	engine := m.Engine
	if engine == nil {
		var err error
		if engine, err = helm.NewEngine(m.Client); err != nil {
			return nil, err
		}
	}
	rendered, err := engine.Template(ctx, p.request().ForPack())
	if err != nil {
		return nil, p.failed(err)
	}
	if opened := p.vault.Secrets(); len(opened) > 0 {
		rendered.Hide = pack.NewRedactor(pack.Vars{}, nil, opened...).Text
	}
	return rendered, nil
}
