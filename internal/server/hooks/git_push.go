package hooks

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/controller/packsync"
	"github.com/peyk/peyk/internal/reconcile"
)

// GitPush answers the Git servers of PackSyncs at /api/core/git-webhook/<id>/: who knows the address may ask for a look at
// the repository. An address that is unknown, or has expired, gives 404.
func GitPush(c client.Client, log *slog.Logger) http.Handler {
	return &gitPush{client: c, log: log, now: time.Now}
}

type gitPush struct {
	client client.Client
	log    *slog.Logger
	now    func() time.Time
}

// ServeHTTP answers one call. What is in it does not matter: the repository itself says what is new.
func (h *gitPush) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, req.Body, maxPayload)); err != nil {
		http.Error(w, "the payload cannot be read, or is larger than 3 MiB", http.StatusRequestEntityTooLarge)
		return
	}
	var all peykv1.PackSyncList
	if err := h.client.List(req.Context(), &all, client.UnsafeDisableDeepCopy); err != nil {
		h.log.ErrorContext(req.Context(), "listing PackSyncs", "error", err.Error())
		http.Error(w, "the address cannot be looked up now", http.StatusServiceUnavailable)
		return
	}
	path := packsync.WebhookPrefix + req.PathValue("id") + "/"
	var found *peykv1.PackSync
	// All are compared, so that the time it takes does not tell how much of a guess is right.
	for i := range all.Items {
		s := &all.Items[i].Status
		for _, address := range []*peykv1.WebhookAddress{s.Webhook, s.PreviousWebhook} {
			if address != nil && same(address.Path, path) && h.now().Before(address.Expires.Time) {
				found = &all.Items[i]
			}
		}
	}
	if found == nil {
		http.Error(w, "no such webhook, or it has expired: the PackSync's status.webhook has the one that works", http.StatusNotFound)
		return
	}
	if found.Spec.Suspend {
		http.Error(w, "the PackSync is suspended", http.StatusServiceUnavailable)
		return
	}
	if err := h.ask(req, found); err != nil {
		h.log.ErrorContext(req.Context(), "asking for a look at the repository", "packsync", found.Namespace+"/"+found.Name, "error", err.Error())
		http.Error(w, "the PackSync cannot be asked now", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (h *gitPush) ask(req *http.Request, sync *peykv1.PackSync) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		reconcile.RequestAnnotation: h.now().UTC().Format(time.RFC3339Nano),
	}}})
	if err != nil {
		return err
	}
	target := &peykv1.PackSync{}
	target.Namespace, target.Name = sync.Namespace, sync.Name
	return h.client.Patch(req.Context(), target, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("peyk"))
}
