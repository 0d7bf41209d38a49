package kustomization

import (
	"context"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// identity finds out on whose behalf, and in which cluster, the Kustomization acts.
func (c *Controller) identity(ctx context.Context, obj *ksv1.Kustomization) (kube.Identity, error) {
	return c.policy.Resolve(ctx, c.direct, tenancy.Actor{
		Namespace: obj.Namespace, ServiceAccount: obj.Spec.ServiceAccountName, KubeConfig: obj.Spec.KubeConfig,
	})
}

func (p *pass) readIdentity(ctx context.Context) (kube.Identity, error) {
	identity, err := p.identity(ctx, p.obj)
	if err != nil {
		return identity, reconcile.Fail(meta.ReconciliationFailedReason, err)
	}
	return identity, nil
}

// reach makes the client of the cluster, and hands the health rules to its engine.
func (p *pass) reach(ctx context.Context) error {
	client, err := p.clients.For(p.inputs.identity)
	if err != nil {
		return reconcile.Fail(meta.ReconciliationFailedReason, err)
	}
	p.client, p.engine = client, p.clusters.Engine(p.owner, client)
	if err := p.engine.Judge(ctx, p.owner, p.rules); err != nil {
		return reconcile.Failf(meta.ReconciliationFailedReason, "spec.healthCheckExprs: %w", err)
	}
	if p.requested() {
		p.engine.Verify(p.owner)
	}
	return nil
}

// requested says whether somebody asked for this pass by hand.
func (p *pass) requested() bool {
	return p.obj.Annotations[reconcile.RequestAnnotation] != p.obj.Status.LastHandledReconcileAt
}
