package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/kube"
)

// ErrNoKubeconfig says that the kubeconfig of another cluster is not there.
var ErrNoKubeconfig = errors.New("create it with the kubeconfig in the key value or value.yaml, or set spec.kubeConfig.secretRef.key")

// Actor is what an object says about on whose behalf, and in which cluster, it acts.
type Actor struct {
	Namespace, ServiceAccount string
	// KubeConfig is spec.kubeConfig. Nil: the cluster that Peyk runs in.
	KubeConfig *meta.KubeConfigReference
}

// Resolve returns the identity of an actor. In another cluster it is impersonated by the user of the kubeconfig. Secrets
// are read with reader, which must not answer from a cache. An error that ErrNoKubeconfig is in says that there is no
// kubeconfig.
func (p Policy) Resolve(ctx context.Context, reader client.Reader, a Actor) (kube.Identity, error) {
	identity := p.Identity(a.Namespace, a.ServiceAccount)
	if a.KubeConfig == nil {
		return identity, nil
	}
	ref := a.KubeConfig.SecretRef
	if ref == nil {
		return identity, fmt.Errorf("spec.kubeConfig.configMapRef: the identity providers of clouds are not supported, use spec.kubeConfig.secretRef: %w", ErrNoKubeconfig)
	}
	key := types.NamespacedName{Namespace: a.Namespace, Name: ref.Name}
	secret := &corev1.Secret{}
	err := reader.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return identity, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s not found: %w", key, ErrNoKubeconfig)
	}
	if err != nil {
		return identity, fmt.Errorf("spec.kubeConfig.secretRef: reading Secret %s: %w", key, err)
	}
	names := []string{"value", "value.yaml"}
	if ref.Key != "" {
		names = []string{ref.Key}
	}
	for _, name := range names {
		if text, ok := secret.Data[name]; ok {
			identity.Kubeconfig, err = kube.Sanitize(text, kube.RemoteOptions{AllowExec: p.KubeconfigExec, AllowInsecureTLS: p.KubeconfigInsecureTLS})
			if err != nil {
				return identity, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s, data[%s]: %w", key, name, err)
			}
			return identity, nil
		}
	}
	return identity, fmt.Errorf("spec.kubeConfig.secretRef: Secret %s has no %s: %w", key, strings.Join(names, " or "), ErrNoKubeconfig)
}
