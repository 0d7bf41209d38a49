package helmrelease

import (
	"context"

	v2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/tenancy"
)

// clientOf returns the client that a HelmRelease's release is worked on with.
func (c *Controller) clientOf(ctx context.Context, obj *v2.HelmRelease) (*kube.Client, error) {
	identity, err := c.Policy.Resolve(ctx, c.direct, tenancy.Actor{
		Namespace: obj.Namespace, ServiceAccount: obj.Spec.ServiceAccountName, KubeConfig: obj.Spec.KubeConfig,
	})
	if err != nil {
		return nil, err
	}
	return c.Clients.For(identity)
}

// engineOf returns the Helm engine of a client. A HelmRelease may ask for one that was not used before: it finds out again
// what the cluster serves.
func (c *Controller) engineOf(obj *v2.HelmRelease, client *kube.Client) (*helm.Engine, error) {
	if !obj.UsePersistentClient() {
		return c.releases.Fresh(client)
	}
	return c.releases.For(client)
}
