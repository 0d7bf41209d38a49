package packreview

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
	"github.com/peyk/peyk/internal/diff"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/server"
)

const (
	// maxBody is how large a review may be. The API server stores nothing that is larger.
	maxBody = 3 << 20
	// patience is how long a review may take.
	patience = 50 * time.Second
	// atOnce is how many reviews are worked on at the same time: each holds a chart and what it renders to in memory.
	atOnce = 4
)

// Renderer renders Packs with the rights that the operator has for their namespace.
type Renderer interface {
	// Render returns what a Pack would be, and how its namespace's identity would compare that with the cluster. An error is
	// the Pack's, and holds no secret.
	Render(ctx context.Context, pack *packv1.Pack) (*helm.Rendered, *diff.Differ, error)
}

// Deps are what the API needs.
type Deps struct {
	// Client reads Packs and asks who may do what.
	Client client.Client
	// Users tells who asks.
	Users authenticator.Request
	// Renderer renders Packs.
	Renderer Renderer
	Log      *slog.Logger
}

type handler struct {
	Deps
	slots chan struct{}
}

// Routes are those of the API group.
func Routes(d Deps) []server.Route {
	h := &handler{Deps: d, slots: make(chan struct{}, atOnce)}
	version := "/apis/" + renderv1.GroupVersion.String()
	return []server.Route{
		{Pattern: "GET /apis", Handler: h.discovery(groups())},
		{Pattern: "GET /apis/" + renderv1.GroupVersion.Group, Handler: h.discovery(group())},
		{Pattern: "GET " + version, Handler: h.discovery(resources())},
		{Pattern: "POST " + version + "/namespaces/{namespace}/" + renderv1.PackReviewResource, Handler: http.HandlerFunc(h.create)},
	}
}

// create answers one review.
func (h *handler) create(w http.ResponseWriter, r *http.Request) {
	review, err := h.review(r)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusCreated, review)
}

func (h *handler) review(r *http.Request) (*renderv1.PackReview, error) {
	who, err := h.user(r)
	if err != nil {
		return nil, apierrors.NewUnauthorized(err.Error())
	}
	namespace := r.PathValue("namespace")
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := h.mayReview(ctx, who, namespace); err != nil {
		return nil, err
	}
	review, err := read(r, namespace)
	if err != nil {
		return nil, err
	}
	pack, err := h.pack(ctx, review)
	if err != nil {
		return nil, err
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, apierrors.NewTooManyRequests("too many Packs are being rendered", 1)
	}
	if review.Status, err = h.answer(ctx, pack, review.Spec.Diff); err != nil {
		return nil, invalid(pack.Name, err)
	}
	h.Log.InfoContext(ctx, "reviewed a Pack", "namespace", namespace, "name", pack.Name, "user", who.GetName(), "diff", review.Spec.Diff)
	return review, nil
}

// read reads the review of a request.
func read(r *http.Request, namespace string) (*renderv1.PackReview, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("a review may have %d bytes", maxBody))
	}
	if err != nil {
		return nil, apierrors.NewBadRequest("the request was cut off")
	}
	review := &renderv1.PackReview{}
	if err := yaml.UnmarshalStrict(body, review); err != nil {
		return nil, apierrors.NewBadRequest("the body is no PackReview: " + err.Error())
	}
	if review.APIVersion != renderv1.GroupVersion.String() || review.Kind != renderv1.PackReviewKind {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the body must be a %s of %s", renderv1.PackReviewKind, renderv1.GroupVersion))
	}
	if review.Namespace != "" && review.Namespace != namespace {
		return nil, apierrors.NewBadRequest("metadata.namespace: must be that of the request, " + namespace)
	}
	review.Namespace = namespace
	return review, nil
}

// pack returns the Pack that a review is about, with the status of the one in the cluster.
func (h *handler) pack(ctx context.Context, review *renderv1.PackReview) (*packv1.Pack, error) {
	given := review.Spec.Pack
	switch {
	case (given == nil) == (review.Spec.Name == ""):
		return nil, apierrors.NewBadRequest("spec: give either name or pack")
	case given != nil && given.Name == "":
		return nil, apierrors.NewBadRequest("spec.pack.metadata.name: must not be empty")
	case given != nil && given.Namespace != "" && given.Namespace != review.Namespace:
		return nil, apierrors.NewBadRequest("spec.pack.metadata.namespace: must be that of the request, " + review.Namespace)
	}
	name := review.Spec.Name
	if given != nil {
		name = given.Name
	}
	live := &packv1.Pack{}
	err := h.Client.Get(ctx, client.ObjectKey{Namespace: review.Namespace, Name: name}, live)
	switch {
	case err == nil && given == nil:
		return live, nil
	case err == nil:
		live.Spec = *given.Spec.DeepCopy()
		return live, nil
	case given != nil && apierrors.IsNotFound(err):
		pack := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: review.Namespace, Name: name}, Spec: *given.Spec.DeepCopy()}
		return pack, nil
	}
	return nil, err
}

var packs = schema.GroupResource{Group: packv1.GroupVersion.Group, Resource: "packs"}

// invalid makes the error of a Pack an answer that says what is wrong with it.
func invalid(name string, err error) error {
	if known := apierrors.APIStatus(nil); errors.As(err, &known) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: err.Error(), Details: &metav1.StatusDetails{Group: packs.Group, Kind: packv1.PackKind, Name: name},
	}}
}

func forbidden(who, namespace string) error {
	resource := schema.GroupResource{Group: renderv1.GroupVersion.Group, Resource: renderv1.PackReviewResource}
	return apierrors.NewForbidden(resource, "", fmt.Errorf("user %q may not create packreviews in namespace %q", who, namespace))
}

// refuse answers with an error, as the API server does.
func refuse(w http.ResponseWriter, err error) {
	status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
	if known := apierrors.APIStatus(nil); errors.As(err, &known) {
		status = known.Status()
	} else if errors.Is(err, context.DeadlineExceeded) {
		status.Code, status.Reason = http.StatusGatewayTimeout, metav1.StatusReasonTimeout
	}
	status.APIVersion, status.Kind = "v1", "Status"
	answer(w, int(status.Code), status)
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(value)
}
