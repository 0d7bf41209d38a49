package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
)

// errNoKubeconfig says that the kubeconfig of a remote cluster is not there.
var errNoKubeconfig = errors.New("create it with the kubeconfig in the key value or value.yaml, or set spec.kubeConfig.secretRef.key")

// identity finds out on whose behalf, and in which cluster, the Kustomization acts.
func (c *Controller) identity(ctx context.Context, obj *ksv1.Kustomization) (kube.Identity, error) {
	identity := c.policy.Identity(obj.Namespace, obj.Spec.ServiceAccountName)
	if obj.Spec.KubeConfig == nil || obj.Spec.KubeConfig.SecretRef == nil {
		return identity, nil
	}
	ref := obj.Spec.KubeConfig.SecretRef
	key := types.NamespacedName{Namespace: obj.Namespace, Name: ref.Name}
	secret := &corev1.Secret{}
	err := c.direct.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return identity, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s not found: %w", key, errNoKubeconfig)
	}
	if err != nil {
		return identity, fmt.Errorf("spec.kubeConfig.secretRef: reading Secret %s: %w", key, err)
	}
	names := []string{ref.Key}
	if ref.Key == "" {
		names = []string{"value", "value.yaml"}
	}
	for _, name := range names {
		text, ok := secret.Data[name]
		if !ok {
			continue
		}
		identity.Kubeconfig, err = kube.Sanitize(text, kube.RemoteOptions{
			AllowExec: c.policy.KubeconfigExec, AllowInsecureTLS: c.policy.KubeconfigInsecureTLS,
		})
		if err != nil {
			return identity, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s, data[%s]: %w", key, name, err)
		}
		return identity, nil
	}
	return identity, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s has no %s: %w", key, strings.Join(names, " or "), errNoKubeconfig)
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
