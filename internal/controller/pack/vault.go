package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/vault"
)

// vaultKeys lets Secrets through that are keys of the vault, or were.
func vaultKeys() predicate.Predicate {
	isKey := func(obj client.Object) bool { return obj.GetLabels()[vault.KeyLabel] != "" }
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return isKey(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return (isKey(e.ObjectOld) || isKey(e.ObjectNew)) && e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion()
		},
		DeleteFunc: func(e event.DeleteEvent) bool { return isKey(e.Object) },
	}
}

// ofVaultKey finds the Packs that a key may be of use to: those of its namespace. What they need of it can come from
// Configs, so they are all asked; one whose plain texts stay the same costs no request.
func (c *Controller) ofVaultKey(ctx context.Context, key client.Object) []ctrl.Request {
	var packs packv1.PackList
	if err := c.reader.List(ctx, &packs, client.InNamespace(key.GetNamespace())); err != nil {
		return nil
	}
	requests := make([]ctrl.Request, 0, len(packs.Items))
	for i := range packs.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&packs.Items[i])})
	}
	return requests
}

// shown is what the status says for a digest. The digest of values that were encrypted would let whoever reads the Pack
// try passwords until one fits; this one is made of the encrypted texts and of what stands around them.
func (p *pass) shown(digest string) string {
	if digest != p.digest {
		return p.obj.Status.AppliedDigest // of values that are not known any more
	}
	texts := p.vault.Texts()
	if len(texts) == 0 {
		return digest
	}
	open, _ := json.Marshal(without(p.values, p.vault.Secrets())) // values come from JSON
	sum := sha256.Sum256([]byte(strings.Join(append(texts, p.chart.Name, p.chart.Version, p.chart.Digest, string(open)), "\x00")))
	return hex.EncodeToString(sum[:])
}

// without returns a copy of values that has none of the secrets in it.
func without(node any, secrets []string) any {
	switch node := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(node))
		for key, value := range node {
			out[key] = without(value, secrets)
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i := range node {
			out[i] = without(node[i], secrets)
		}
		return out
	case string:
		for _, secret := range secrets {
			if secret != "" {
				node = strings.ReplaceAll(node, secret, "")
			}
		}
		return node
	default:
		return node
	}
}
