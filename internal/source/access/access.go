// Package access reads from Secrets how the servers of sources let Peyk in.
package access

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/registry"
)

// The keys of Secrets, as Flux names them, with the older names that it still reads.
var (
	keysCA   = []string{"ca.crt", "caFile"}
	keysCert = []string{"tls.crt", "certFile"}
	keysKey  = []string{"tls.key", "keyFile"}
)

const (
	keyUsername = "username"
	keyPassword = "password"
	keyAddress  = "address"
)

// Secrets reads the Secrets that an object refers to. Reader must not answer from a cache that holds Secrets.
type Secrets struct {
	Reader    client.Reader
	Namespace string
}

// Get returns a Secret. field is the field that names it, as in spec.secretRef.
func (s Secrets) Get(ctx context.Context, field, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.Reader.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s: there is no Secret %s in namespace %s; create it or correct the name", field, name, s.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: reading Secret %s: %w", field, name, err)
	}
	return secret, nil
}

// Certificates adds the certificates of a Secret to a. It needs one of ca.crt, or both tls.crt and tls.key.
func Certificates(a *registry.Access, field string, secret *corev1.Secret) error {
	ca, cert, key := first(secret, keysCA), first(secret, keysCert), first(secret, keysKey)
	switch {
	case len(cert) > 0 && len(key) == 0:
		return lacks(field, secret, "tls.key", "a client certificate needs tls.crt and tls.key")
	case len(cert) == 0 && len(key) > 0:
		return lacks(field, secret, "tls.crt", "a client certificate needs tls.crt and tls.key")
	case len(ca)+len(cert) == 0:
		return lacks(field, secret, "ca.crt", "it needs ca.crt, or tls.crt and tls.key, or all three")
	}
	a.CA, a.Cert, a.Key = ca, cert, key
	return nil
}

// HasCertificates says whether a Secret holds certificates, whole or not.
func HasCertificates(secret *corev1.Secret) bool {
	return len(first(secret, slices.Concat(keysCA, keysCert, keysKey))) > 0
}

// Basic adds username and password of a Secret to a, where it has them.
func Basic(a *registry.Access, field string, secret *corev1.Secret) error {
	username, password := string(secret.Data[keyUsername]), string(secret.Data[keyPassword])
	switch {
	case username == "" && password == "":
		return nil
	case username == "":
		return lacks(field, secret, keyUsername, "basic authentication needs username and password")
	case password == "":
		return lacks(field, secret, keyPassword, "basic authentication needs username and password")
	}
	a.Username, a.Password = username, password
	return nil
}

// Docker adds the credentials of a Secret of the type kubernetes.io/dockerconfigjson to a.
func Docker(a *registry.Access, field string, secret *corev1.Secret) error {
	data := secret.Data[corev1.DockerConfigJsonKey]
	if len(data) == 0 {
		return lacks(field, secret, corev1.DockerConfigJsonKey, "a registry needs a Secret of the type kubernetes.io/dockerconfigjson; kubectl create secret docker-registry makes one")
	}
	a.DockerConfigs = append(a.DockerConfigs, data)
	return nil
}

// Proxy adds the proxy of a Secret to a.
func Proxy(a *registry.Access, field string, secret *corev1.Secret) error {
	address := string(secret.Data[keyAddress])
	if address == "" {
		return lacks(field, secret, keyAddress, "a proxy needs its address, such as http://proxy.example.org:3128")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%s: Secret %s: the key %s must be a URL, such as http://proxy.example.org:3128", field, secret.Name, keyAddress)
	}
	if username := string(secret.Data[keyUsername]); username != "" {
		u.User = url.UserPassword(username, string(secret.Data[keyPassword]))
	}
	a.Proxy = u.String()
	return nil
}

// PullSecrets adds the credentials of the imagePullSecrets of a ServiceAccount to a.
func (s Secrets) PullSecrets(ctx context.Context, a *registry.Access, field, serviceAccount string) error {
	account := &corev1.ServiceAccount{}
	err := s.Reader.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: serviceAccount}, account)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: there is no ServiceAccount %s in namespace %s; create it or correct the name", field, serviceAccount, s.Namespace)
	}
	if err != nil {
		return fmt.Errorf("%s: reading ServiceAccount %s: %w", field, serviceAccount, err)
	}
	for i, ref := range account.ImagePullSecrets {
		at := fmt.Sprintf("%s: imagePullSecrets[%d] of ServiceAccount %s", field, i, serviceAccount)
		secret, err := s.Get(ctx, at, ref.Name)
		if err != nil {
			return err
		}
		if err := Docker(a, at, secret); err != nil {
			return err
		}
	}
	return nil
}

func first(secret *corev1.Secret, keys []string) []byte {
	for _, key := range keys {
		if len(secret.Data[key]) > 0 {
			return secret.Data[key]
		}
	}
	return nil
}

func lacks(field string, secret *corev1.Secret, key, need string) error {
	return fmt.Errorf("%s: Secret %s: the key %s is missing or empty; %s", field, secret.Name, key, need)
}
