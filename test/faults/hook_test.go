package faults_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func selector(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

// receiver makes a Receiver for a GitRepository and returns its address.
func receiver(t *testing.T, repository, token string) string {
	t.Helper()
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: repository}, StringData: map[string]string{"token": token},
	})
	r := &notificationv1.Receiver{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: repository},
		Spec: notificationv1.ReceiverSpec{
			Type: notificationv1.GenericHMACReceiver, SecretRef: &meta.LocalObjectReference{Name: repository},
			Resources: []notificationv1.ReceiverResource{{
				CrossNamespaceObjectReference: notificationv1.CrossNamespaceObjectReference{Kind: "GitRepository", Name: repository},
			}},
		},
	}
	create(t, r)
	eventually(t, 90*time.Second, func() error {
		if err := world.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r); err != nil {
			return err
		}
		if r.Status.WebhookPath == "" {
			return errors.New("the Receiver has no path")
		}
		return nil
	})
	return "http://" + world.Operator.HTTP + r.Status.WebhookPath
}

func sign(token, body string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// post calls a webhook and returns the status code.
func post(t *testing.T, url, signature, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	check(t, err)
	if signature != "" {
		req.Header.Set("X-Signature", signature)
	}
	answer, err := http.DefaultClient.Do(req)
	check(t, err)
	check(t, answer.Body.Close())
	return answer.StatusCode
}
