package admission_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
	"github.com/peyk/peyk/internal/vault"
)

// review asks about the Pack of the text, or of the name.
func review(namespace, name string, pack *packv1.Pack, diff bool) *renderv1.PackReview {
	return &renderv1.PackReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: renderv1.PackReviewSpec{Name: name, Pack: pack, Diff: diff},
	}
}

// allow gives a user a ClusterRole in a namespace.
func (w *world) allow(user, namespace, role string) {
	w.Helper()
	w.must(w.client.Create(w.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}))
}

func TestReview(t *testing.T) {
	w := newWorld(t)
	w.namespace("review")
	w.allow("editor", "review", system+"-pack-editor")
	key, err := vault.NewKey("team", "a-password", nil)
	w.must(err)
	w.must(w.client.Create(t.Context(), key.Secret("review")))
	sealed, err := key.Encrypt([]byte("plain-of-the-vault"))
	w.must(err)
	quoted, err := json.Marshal(sealed)
	w.must(err)
	redis := &packv1.Pack{}
	w.typed(pack("review", "cache", `{chart: {name: redis}, values: {tag: 7.2.5, password: top-secret-of-redis, configs: {redis.conf: `+string(quoted)+`}}}`), redis)
	editor := w.as("editor")

	rendered := review("review", "", redis, false)
	w.must(editor.Create(t.Context(), rendered))
	text := rendered.Status.Manifests
	for _, want := range []string{"kind: StatefulSet", "kind: Secret", "'***'"} {
		if !strings.Contains(text, want) {
			t.Errorf("the manifests lack %s:\n%s", want, text)
		}
	}
	for _, secret := range []string{"plain-of-the-vault", "top-secret-of-redis", "dG9wLXNlY3JldC1vZi1yZWRpcw"} {
		if strings.Contains(text, secret) {
			t.Errorf("the manifests show %s", secret)
		}
	}
	compared := review("review", "", redis, true)
	w.must(editor.Create(t.Context(), compared))
	if got := fmt.Sprint(compared.Status.Changes); !strings.Contains(got, "StatefulSet/review/cache") || !strings.Contains(got, "created") || strings.Contains(got, "top-secret") {
		t.Errorf("changes %s", got)
	}

	applied := redis.DeepCopy()
	w.must(w.client.Create(t.Context(), applied))
	named := review("review", "cache", nil, true)
	w.soon("what is applied does not differ", func() string {
		named.Status = renderv1.PackReviewStatus{}
		if err := editor.Create(t.Context(), named); err != nil || len(named.Status.Changes) > 0 {
			return fmt.Sprint(err, named.Status.Changes)
		}
		return ""
	})
	changed := redis.DeepCopy()
	w.typed(pack("review", "cache", `{chart: {name: redis}, values: {tag: 7.2.6, password: another-top-secret}}`), changed)
	differs := review("review", "", changed, true)
	w.must(editor.Create(t.Context(), differs))
	if got := fmt.Sprint(differs.Status.Changes); !strings.Contains(got, "7.2.6") || strings.Contains(got, "top-secret") || strings.Contains(got, "plain-of-the-vault") {
		t.Errorf("changes %s", got)
	}
	live := &packv1.Pack{}
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(redis), live))
	if live.Generation != applied.Generation {
		t.Error("a review changed the Pack")
	}
	w.must(w.client.Delete(t.Context(), live))
}

func TestReviewIsRefused(t *testing.T) {
	w := newWorld(t)
	w.namespace("closed")
	w.namespace("open")
	w.allow("guest", "open", system+"-pack-editor")
	guest := w.as("guest")
	good, bad, elsewhere := &packv1.Pack{}, &packv1.Pack{}, &packv1.Pack{}
	w.typed(pack("open", "x", "{chart: {name: simplepack}, "+fine+"}"), good)
	w.typed(pack("open", "x", "{chart: {name: simplepack}, "+app("1", ", replicaCount: many")+"}"), bad)
	w.typed(pack("closed", "x", "{chart: {name: simplepack}, "+fine+"}"), elsewhere)
	cases := map[string]struct {
		review *renderv1.PackReview
		is     func(error) bool
		says   string
	}{
		"no right in the namespace":  {review("closed", "", elsewhere, false), apierrors.IsForbidden, "guest"},
		"a Pack of another one":      {review("open", "", elsewhere, false), apierrors.IsBadRequest, "namespace"},
		"no such Pack":               {review("open", "nope", nil, false), apierrors.IsNotFound, "nope"},
		"nothing":                    {review("open", "", nil, false), apierrors.IsBadRequest, "either"},
		"both":                       {review("open", "x", good, false), apierrors.IsBadRequest, "either"},
		"a Pack that cannot work":    {review("open", "", bad, true), apierrors.IsInvalid, "replicaCount"},
		"a Pack that works, as file": {review("open", "", good, false), func(err error) bool { return err == nil }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := guest.Create(t.Context(), c.review); !c.is(err) || !strings.Contains(said(err), c.says) {
				t.Errorf("error %v (%s), want one that says %q", err, apierrors.ReasonForError(err), c.says)
			}
		})
	}
}

// Whoever reaches the port without being the API server is nobody, whatever the headers say.
func TestOnlyTheAPIServerSpeaksForUsers(t *testing.T) {
	newWorld(t)
	forged := selfSigned(t, "front-proxy-client")
	body, err := yaml.Marshal(review("kube-system", "x", nil, false))
	if err != nil {
		t.Fatal(err)
	}
	for name, certificates := range map[string][]tls.Certificate{"no certificate": nil, "a certificate of somebody else": {forged}} {
		t.Run(name, func(t *testing.T) {
			c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates}}} //nolint:gosec // it is the server that is to refuse
			defer c.CloseIdleConnections()
			url := fmt.Sprintf("https://127.0.0.1:%d/apis/render.peyk.dev/v1alpha1", apiPort)
			for _, call := range []struct{ method, url string }{{"POST", url + "/namespaces/kube-system/packreviews"}, {"GET", url}} {
				req, err := http.NewRequestWithContext(t.Context(), call.method, call.url, bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Remote-User", "admin")
				req.Header.Set("X-Remote-Group", "system:masters")
				answer, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s %s: status %d, want 401", call.method, call.url, answer.StatusCode)
				}
			}
		})
	}
}

func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
