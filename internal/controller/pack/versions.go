package pack

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/vault"
)

// Versions returns the versions of a Pack's chart that its repository has, and the constraint of the Pack.
func Versions(ctx context.Context, obj *packv1.Pack, m Material) ([]string, pack.Constraint, error) {
	p := &pass{
		Controller: &Controller{reader: m.Reader, catalog: m.Catalog, keyring: vault.NewKeyring(m.Reader, nil)}, obj: obj.DeepCopy(), key: client.ObjectKeyFromObject(obj),
	}
	for _, run := range []func(context.Context) error{p.resolveVars, p.findRepository} {
		if err := run(ctx); err != nil {
			return nil, pack.Constraint{}, err
		}
	}
	constraint, err := pack.ParseConstraint(p.wanted.version)
	return p.versions, constraint, err
}
