package certificate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Keeper keeps one certificate. Several replicas may keep the same one: the first to write it wins, and the others take it.
type Keeper struct {
	// Client reads and writes the Secret, and does not answer from a cache.
	Client client.Client
	// Secret that holds certificate and authority.
	Secret types.NamespacedName
	// Names that the certificate is for.
	Names []string
	// Clock says what time it is.
	Clock clock.PassiveClock

	current atomic.Pointer[tls.Certificate]
}

// attempts is how often replicas may come in each other's way.
const attempts = 5

// Ensure sees to it that the Secret holds a certificate that is not near its end, and returns the authorities to trust. What
// publish does with them comes before the certificate is used. Without errors it costs one request when nothing is due.
func (k *Keeper) Ensure(ctx context.Context, publish func(authorities []byte) error) error {
	secret, cert, err := k.read(ctx)
	for i := 0; i < attempts && err == nil && cert == nil; i++ {
		secret, cert, err = k.renew(ctx, secret)
	}
	switch {
	case err != nil:
		return err
	case cert == nil:
		return fmt.Errorf("writing Secret %s: others write it at the same time", k.Secret)
	}
	// The new certificate is used even when the authorities could not be written: of the old one less is left.
	err = publish(secret.Data[authorityPEM])
	k.current.Store(cert)
	return err
}

// read returns the Secret, nil when there is none, and its certificate, nil when it has to be issued anew.
func (k *Keeper) read(ctx context.Context) (*corev1.Secret, *tls.Certificate, error) {
	secret := &corev1.Secret{}
	err := k.Client.Get(ctx, k.Secret, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading Secret %s: %w", k.Secret, err)
	}
	cert, err := usable(secret.Data, k.Names, k.Clock.Now())
	if err != nil {
		return secret, nil, nil //nolint:nilerr // it is what a new one is issued for
	}
	return secret, cert, nil
}

// renew writes a new certificate, and returns what the Secret holds then: what another replica wrote, if that was first.
func (k *Keeper) renew(ctx context.Context, old *corev1.Secret) (*corev1.Secret, *tls.Certificate, error) {
	next := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.Secret.Namespace, Name: k.Secret.Name, Labels: map[string]string{"app.kubernetes.io/part-of": "peyk"},
		},
		Type: corev1.SecretTypeTLS,
	}
	write := func() error { return k.Client.Create(ctx, next) }
	if old != nil {
		next = old.DeepCopy()
		write = func() error { return k.Client.Update(ctx, next) }
	}
	var err error
	if next.Data, err = issue(next.Data, k.Names, k.Clock.Now()); err != nil {
		return nil, nil, err
	}
	err = write()
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || old != nil && apierrors.IsNotFound(err) {
		return k.read(ctx)
	}
	return nil, nil, fmt.Errorf("writing Secret %s: %w", k.Secret, err)
}

// TLS is how a server uses the certificate.
func (k *Keeper) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Who calls is told by a certificate where there is one. Whoever reads it checks it.
		ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := k.current.Load(); cert != nil {
				return cert, nil
			}
			return nil, errors.New("the certificate is not there yet")
		},
	}
}
