package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/notify/service"
)

// maxAddress is the longest address, as of the field spec.address.
const maxAddress = 2048

// target reads a Provider and its Secrets. It also returns what must not be seen in any message.
func target(ctx context.Context, reader client.Reader, p *v1beta3.Provider) (service.Target, secrets, error) {
	t := service.Target{
		Type: p.Spec.Type, Address: p.Spec.Address, Channel: p.Spec.Channel, Username: p.Spec.Username, UID: string(p.UID),
	}
	if p.Spec.ServiceAccountName != "" {
		return t, nil, errors.New("spec.serviceAccountName: is not supported by this version of Peyk; use credentials in spec.secretRef")
	}
	data, err := readSecret(ctx, reader, p, p.Spec.SecretRef, "spec.secretRef")
	if err != nil {
		return t, nil, err
	}
	if err := authenticate(&t, data); err != nil {
		return t, nil, err
	}
	hidden := hide(t, data)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.Proxy, err = proxy(ctx, reader, p, data); err != nil {
		return t, hidden, err
	}
	certs, field := data, "spec.secretRef"
	if p.Spec.CertSecretRef != nil {
		field = "spec.certSecretRef"
		if certs, err = readSecret(ctx, reader, p, p.Spec.CertSecretRef, field); err != nil {
			return t, hidden, err
		}
	} else if !service.IsGit(p.Spec.Type) && !service.IsComment(p.Spec.Type) {
		certs = nil
	}
	if transport.TLSClientConfig, err = tlsConfig(certs, field); err != nil {
		return t, hidden, err
	}
	t.Client = &http.Client{
		Transport: transport,
		// A redirect would carry the credentials to where nobody sent them.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t, hidden, nil
}

func readSecret(ctx context.Context, reader client.Reader, p *v1beta3.Provider, ref *meta.LocalObjectReference, field string) (map[string][]byte, error) {
	if ref == nil {
		return nil, nil
	}
	secret := &corev1.Secret{}
	err := reader.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: ref.Name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s: there is no Secret %s in namespace %s; create it or correct the name", field, ref.Name, p.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: reading Secret %s: %w", field, ref.Name, err)
	}
	return secret.Data, nil
}

func authenticate(t *service.Target, data map[string][]byte) error {
	get := func(key string) string { return strings.TrimSpace(string(data[key])) }
	if address := get("address"); address != "" {
		t.Address = address
	}
	if len(t.Address) > maxAddress {
		return fmt.Errorf("spec.secretRef: the key address is longer than %d bytes", maxAddress)
	}
	t.Token = get("token")
	if user, password := get("username"), get("password"); user != "" && password != "" {
		t.Username, t.Password = user, password
	} else if password != "" {
		t.Password = password
	}
	if headers := data["headers"]; len(headers) > 0 {
		if err := yaml.Unmarshal(headers, &t.Headers); err != nil {
			return errors.New("spec.secretRef: the key headers is not a YAML map of names to values")
		}
	}
	return nil
}

// proxy returns the proxy that the Provider names, in one of the three places there are for it, or that of the process.
func proxy(ctx context.Context, reader client.Reader, p *v1beta3.Provider, data map[string][]byte) (func(*http.Request) (*url.URL, error), error) {
	address, field := p.Spec.Proxy, "spec.proxy"
	if inSecret := strings.TrimSpace(string(data["proxy"])); inSecret != "" {
		address, field = inSecret, "spec.secretRef: the key proxy"
	}
	var user *url.Userinfo
	if p.Spec.ProxySecretRef != nil {
		field = "spec.proxySecretRef: the key address"
		own, err := readSecret(ctx, reader, p, p.Spec.ProxySecretRef, "spec.proxySecretRef")
		if err != nil {
			return nil, err
		}
		if address = strings.TrimSpace(string(own["address"])); address == "" {
			return nil, fmt.Errorf("%s is missing or empty", field)
		}
		if name := string(own["username"]); name != "" {
			user = url.UserPassword(name, string(own["password"]))
		}
	}
	if address == "" {
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s: is not the URL of a proxy; write it as http://host:port", field)
	}
	if user != nil {
		u.User = user
	}
	return http.ProxyURL(u), nil
}

func tlsConfig(data map[string][]byte, field string) (*tls.Config, error) {
	get := func(key, old string) []byte {
		if value, ok := data[key]; ok {
			return value
		}
		return data[old]
	}
	ca, cert, key := get("ca.crt", "caFile"), get("tls.crt", "certFile"), get("tls.key", "keyFile")
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s: the key ca.crt holds no certificate in PEM format", field)
		}
	}
	if len(cert) == 0 && len(key) == 0 {
		return config, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: the keys tls.crt and tls.key are not a certificate and its key in PEM format", field)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// secrets are texts that no message shows.
type secrets []string

// shortest is the length from which a text is a secret: shorter ones are words of everyday messages.
const shortest = 6

// hide lists the secrets of a target: every value of its Secret, and the path of its address, which is the password of
// many webhooks, in the forms that they take in URLs and headers.
func hide(t service.Target, data map[string][]byte) secrets {
	values := []string{base64.StdEncoding.EncodeToString([]byte(t.Username + ":" + t.Password))}
	for key, value := range data {
		if text := strings.TrimSpace(string(value)); key != "username" && key != "ca.crt" && key != "caFile" {
			values = append(values, text)
		}
	}
	for _, value := range t.Headers {
		values = append(values, value)
	}
	if t.Type == v1beta3.PagerDutyProvider {
		values = append(values, t.Channel)
	}
	if u, err := url.Parse(t.Address); err == nil && !service.IsGit(t.Type) && !service.IsComment(t.Type) {
		values = append(values, strings.Trim(u.Path, "/"), u.RawQuery, u.User.String())
	}
	var s secrets
	for _, value := range values {
		for _, form := range []string{value, url.QueryEscape(value), url.PathEscape(value)} {
			if len(form) >= shortest && !slices.Contains(s, form) {
				s = append(s, form)
			}
		}
	}
	// The longest first, so that no part of one is left when another one is within it.
	slices.SortFunc(s, func(a, b string) int { return len(b) - len(a) })
	return s
}

// mask writes stars over the secrets in a message.
func (s secrets) mask(message string) string {
	for _, secret := range s {
		message = strings.ReplaceAll(message, secret, "*****")
	}
	return message
}
