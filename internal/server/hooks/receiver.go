package hooks

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"golang.org/x/sync/errgroup"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/controller/receiver"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// maxPayload is the longest body of a webhook that is read, in bytes. Pushes of many commits are large.
const maxPayload = 3 << 20

var webhookPath = regexp.MustCompile(`^/hook/[0-9a-f]{64}$`)

// Receiver answers the webhooks of Receivers at /hook/<id>: it asks for a pass over every object that the Receiver names.
// An unknown path gives 404, a Receiver that is suspended or not ready 503, a request that is not from the sender 400, an
// object that cannot be asked 500.
type Receiver struct {
	ReceiverDeps
	issuers *issuers
	google  string
	now     func() time.Time
}

// ReceiverDeps are what the handler of webhooks needs.
type ReceiverDeps struct {
	// Client reads Receivers at every request, so it should have a cache.
	Client client.Client
	// Live reads the objects that Receivers name, of whatever kind, without a cache of each kind.
	Live   client.Reader
	Policy tenancy.Policy
	Log    *slog.Logger
}

// NewReceiver returns the handler of /hook/.
func NewReceiver(d ReceiverDeps) *Receiver {
	return &Receiver{ReceiverDeps: d, issuers: newIssuers(time.Now), google: googleIssuer, now: time.Now}
}

// ServeHTTP answers one webhook.
func (h *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	obj, secret, err := h.find(req.Context(), req.URL.Path)
	switch {
	case err != nil:
		h.Log.Error("looking for a receiver", "error", err.Error())
		http.Error(w, "the receiver cannot be read now", http.StatusServiceUnavailable)
		return
	case obj == nil:
		http.Error(w, "no such webhook", http.StatusNotFound)
		return
	case obj.Spec.Suspend || !apimeta.IsStatusConditionTrue(obj.Status.Conditions, reconcile.Ready):
		http.Error(w, "the receiver is suspended or not ready", http.StatusServiceUnavailable)
		return
	}
	body, ok := readPayload(w, req)
	if !ok {
		return
	}
	hook, err := h.authenticate(req.Context(), obj, secret, req.Header, body)
	if err != nil {
		h.Log.Info("webhook refused", "receiver", obj.Namespace+"/"+obj.Name, "reason", err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := h.notify(req.Context(), obj, hook); err != nil {
		h.Log.Error("asking for reconciliation", "receiver", obj.Namespace+"/"+obj.Name, "error", err.Error())
		http.Error(w, "some of the receiver's resources could not be asked to reconcile; the log of Peyk says why", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// readPayload reads the body of a request. When it cannot, it answers.
func readPayload(w http.ResponseWriter, req *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxPayload))
	if err == nil {
		return body, true
	}
	status := http.StatusBadRequest
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		status = http.StatusRequestEntityTooLarge
	}
	http.Error(w, "the payload cannot be read, or is larger than 3 MiB", status)
	return nil, false
}

// find returns the Receiver at a path and its token, and neither when there is none. It compares with every Receiver, so
// that the time it takes does not tell how much of a guess is right.
func (h *Receiver) find(ctx context.Context, path string) (*notificationv1.Receiver, receiver.Secret, error) {
	if !webhookPath.MatchString(path) {
		return nil, receiver.Secret{}, nil
	}
	all := &notificationv1.ReceiverList{}
	if err := h.Client.List(ctx, all); err != nil {
		return nil, receiver.Secret{}, fmt.Errorf("listing receivers: %w", err)
	}
	var found *notificationv1.Receiver
	for i := range all.Items {
		if same(all.Items[i].Status.WebhookPath, path) {
			found = &all.Items[i]
		}
	}
	if found == nil {
		return nil, receiver.Secret{}, nil
	}
	secret, err := receiver.ReadSecret(ctx, h.Client, found)
	if err != nil {
		return nil, receiver.Secret{}, err
	}
	// A token that was changed a moment ago no longer opens the old path.
	if !same(found.GetWebhookPath(secret.Token), path) {
		return nil, receiver.Secret{}, nil
	}
	return found, secret, nil
}

// same compares in a time that tells nothing, not even the length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// notify asks for a pass over each resource. One that cannot be asked does not keep the others from being asked.
func (h *Receiver) notify(ctx context.Context, obj *notificationv1.Receiver, hook delivery) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		reconcile.RequestAnnotation: h.now().UTC().Format(time.RFC3339Nano),
	}}})
	if err != nil {
		return err
	}
	filters, err := receiver.CompileFilters(obj)
	if err != nil {
		return err
	}
	var failed []error
	var chosen []*metav1.PartialObjectMetadata
	for i, ref := range obj.Spec.Resources {
		targets, err := h.targets(ctx, obj.Namespace, ref.CrossNamespaceObjectReference, filters.Has(i))
		if err != nil {
			failed = append(failed, fmt.Errorf("spec.resources[%d]: %w", i, err))
		}
		for _, target := range targets {
			if filters.Has(i) {
				if ok, err := filters.Accepts(ctx, i, target, hook.payload, hook.claims); err != nil || !ok {
					failed = append(failed, err)
					continue
				}
			}
			chosen = append(chosen, target)
		}
	}
	return errors.Join(append(failed, h.annotate(ctx, chosen, patch))...)
}

// annotate patches the targets, several at a time: the sender of the webhook waits for it.
func (h *Receiver) annotate(ctx context.Context, targets []*metav1.PartialObjectMetadata, patch []byte) error {
	const atOnce = 16
	failed := make([]error, len(targets))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, target := range targets {
		group.Go(func() error {
			err := h.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("peyk"))
			if err != nil {
				failed[i] = fmt.Errorf("annotating %s %s/%s: %w", target.Kind, target.Namespace, target.Name, err)
			}
			return nil
		})
	}
	_ = group.Wait()
	return errors.Join(failed...)
}

// targets lists the objects that a resource of a Receiver names. whole says that their metadata is needed.
func (h *Receiver) targets(ctx context.Context, namespace string, ref notificationv1.CrossNamespaceObjectReference, whole bool) ([]*metav1.PartialObjectMetadata, error) {
	if err := h.Policy.CheckRef(namespace, ref.Namespace, "namespace"); err != nil {
		return nil, err
	}
	version, err := schema.ParseGroupVersion(receiver.APIVersion(ref))
	if err != nil {
		return nil, fmt.Errorf("reading the version of %s: %w", ref.Kind, err)
	}
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	if ref.Name != "*" {
		target := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: ref.Name}}
		target.SetGroupVersionKind(version.WithKind(ref.Kind))
		if whole {
			if err := h.Live.Get(ctx, client.ObjectKeyFromObject(target), target); err != nil {
				return nil, fmt.Errorf("reading %s %s/%s: %w", ref.Kind, namespace, ref.Name, err)
			}
		}
		return []*metav1.PartialObjectMetadata{target}, nil
	}
	if len(ref.MatchLabels) == 0 {
		return nil, errors.New("matchLabels: is required with the name *")
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(version.WithKind(ref.Kind + "List"))
	if err := h.Live.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels(ref.MatchLabels)); err != nil {
		return nil, fmt.Errorf("listing %s in namespace %s: %w", ref.Kind, namespace, err)
	}
	var targets []*metav1.PartialObjectMetadata
	for i := range list.Items {
		list.Items[i].SetGroupVersionKind(version.WithKind(ref.Kind))
		targets = append(targets, &list.Items[i])
	}
	return targets, nil
}

// allowed says whether an event is one of those that the Receiver is for.
func allowed(events []string, event string) error {
	if len(events) == 0 {
		return nil
	}
	for _, e := range events {
		if strings.EqualFold(e, event) {
			return nil
		}
	}
	return fmt.Errorf("the event %.100q is not in spec.events of the receiver", event)
}
