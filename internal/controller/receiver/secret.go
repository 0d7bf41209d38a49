package receiver

import (
	"context"
	"fmt"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Secret is what a Receiver's Secret says about who may call its webhook.
type Secret struct {
	// Token is what paths and signatures are made with. It is empty for the type generic-oidc.
	Token string
	// Email and Audience are those of the tokens that Google sends, for the type gcr.
	Email, Audience string
}

// ReadSecret reads the Secret of a Receiver. Its errors name the Secret and the mend.
func ReadSecret(ctx context.Context, reader client.Reader, obj *notificationv1.Receiver) (Secret, error) {
	if obj.Spec.Type == notificationv1.GenericOIDCReceiver {
		return Secret{}, nil
	}
	if obj.Spec.SecretRef == nil {
		return Secret{}, fmt.Errorf("spec.secretRef: is missing; name a Secret with the key token")
	}
	secret, name := &corev1.Secret{}, obj.Spec.SecretRef.Name
	err := reader.Get(ctx, types.NamespacedName{Namespace: obj.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return Secret{}, fmt.Errorf("spec.secretRef: there is no Secret %s in namespace %s; create it or correct the name", name, obj.Namespace)
	}
	if err != nil {
		return Secret{}, fmt.Errorf("spec.secretRef: reading Secret %s: %w", name, err)
	}
	required := []string{"token"}
	if obj.Spec.Type == notificationv1.GCRReceiver {
		required = append(required, "email", "audience")
	}
	for _, key := range required {
		if len(secret.Data[key]) == 0 {
			return Secret{}, fmt.Errorf("spec.secretRef: Secret %s: the key %s is missing or empty", name, key)
		}
	}
	return Secret{
		Token: string(secret.Data["token"]), Email: string(secret.Data["email"]), Audience: string(secret.Data["audience"]),
	}, nil
}
