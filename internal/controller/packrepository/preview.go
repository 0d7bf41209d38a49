package packrepository

import (
	"context"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/render/helm"
)

// Material is what a repository is read with outside of the operator.
type Material struct {
	Catalog *helm.Catalog
	// Reader reads Secrets. Namespace is Peyk's own, where those of ClusterPackRepositories are.
	Reader    client.Reader
	Namespace string
}

// Read brings a catalog up to date with a PackRepository or ClusterPackRepository, whose status it does not write.
func Read(ctx context.Context, obj client.Object, m Material) error {
	p := &pass{reader: reader{catalog: m.Catalog, secrets: m.Reader, namespace: m.Namespace}, kind: packv1.PackRepositoryKind}
	switch obj := obj.(type) {
	case *packv1.PackRepository:
		p.obj = obj.DeepCopy()
	case *packv1.ClusterPackRepository:
		p.obj, p.kind = obj.DeepCopy(), packv1.ClusterPackRepositoryKind
	}
	if err := p.readCredentials(ctx); err != nil {
		return err
	}
	return p.readIndex(ctx)
}
