package helmrelease

import (
	"context"
	"errors"
	"fmt"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/render/helm"
)

// clientOf returns the client that a HelmRelease's release is worked on with. An error that apierrors.IsNotFound knows
// says that the Secret with the kubeconfig is not there.
func (c *Controller) clientOf(ctx context.Context, obj *v2.HelmRelease) (*kube.Client, error) {
	identity := c.Policy.Identity(obj.Namespace, obj.Spec.ServiceAccountName)
	if ref := obj.Spec.KubeConfig; ref != nil {
		// The default service account is of this cluster; another one knows the user of its kubeconfig.
		identity = kube.Identity{Namespace: obj.Namespace, ServiceAccount: obj.Spec.ServiceAccountName}
		var err error
		if identity.Kubeconfig, err = c.kubeconfig(ctx, obj.Namespace, ref); err != nil {
			return nil, err
		}
	}
	return c.Clients.For(identity)
}

// engineOf returns the Helm engine of a client, a new one for a HelmRelease that asks not to keep it.
func (c *Controller) engineOf(obj *v2.HelmRelease, client *kube.Client) (*helm.Engine, error) {
	if !obj.UsePersistentClient() {
		return helm.NewEngine(client.Config(), client)
	}
	return c.releases.For(client)
}

func (c *Controller) kubeconfig(ctx context.Context, namespace string, ref *meta.KubeConfigReference) (kube.Kubeconfig, error) {
	if ref.SecretRef == nil {
		return kube.Kubeconfig{}, errors.New("spec.kubeConfig.configMapRef: clusters that are reached by a cloud provider's credentials are not supported; use secretRef")
	}
	key := types.NamespacedName{Namespace: namespace, Name: ref.SecretRef.Name}
	secret := &corev1.Secret{}
	if err := c.direct.Get(ctx, key, secret); err != nil {
		return kube.Kubeconfig{}, fmt.Errorf("reading the Secret %s of spec.kubeConfig.secretRef: %w", key, err)
	}
	keys := []string{"value", "value.yaml"}
	if ref.SecretRef.Key != "" {
		keys = []string{ref.SecretRef.Key}
	}
	for _, name := range keys {
		if data, ok := secret.Data[name]; ok {
			config, err := kube.Sanitize(data, kube.RemoteOptions{
				AllowExec: c.Policy.KubeconfigExec, AllowInsecureTLS: c.Policy.KubeconfigInsecureTLS,
			})
			if err != nil {
				return kube.Kubeconfig{}, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s, key %s: %w", key, name, err)
			}
			return config, nil
		}
	}
	return kube.Kubeconfig{}, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s has no key %q", key, keys[0])
}
