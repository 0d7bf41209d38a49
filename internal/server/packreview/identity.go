package packreview

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
)

// The ConfigMap in which the API server says how it presents the users on whose behalf it calls.
const (
	frontProxyNamespace = "kube-system"
	frontProxyConfig    = "extension-apiserver-authentication"
	frontProxyAuthority = "requestheader-client-ca-file"
)

// FrontProxy tells who asks by what the API server writes into the requests that it passes on, which it proves with a
// client certificate. It implements manager.Runnable.
type FrontProxy struct {
	authenticator.Request

	authority *dynamiccertificates.ConfigMapCAController
	headers   *headerrequest.RequestHeaderAuthRequestController
}

// NewFrontProxy returns a FrontProxy for the cluster of config. Nobody is known before it runs.
func NewFrontProxy(config *rest.Config) (*FrontProxy, error) {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	authority, err := dynamiccertificates.NewDynamicCAFromConfigMapController(
		"front-proxy", frontProxyNamespace, frontProxyConfig, frontProxyAuthority, clients)
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", frontProxyNamespace, frontProxyConfig, err)
	}
	headers := headerrequest.NewRequestHeaderAuthRequestController(frontProxyConfig, frontProxyNamespace, clients,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
		"requestheader-extra-headers-prefix", "requestheader-allowed-names")
	p := &FrontProxy{authority: authority, headers: headers}
	p.Request = headerrequest.NewDynamicVerifyOptionsSecure(authority.VerifyOptions,
		headerrequest.StringSliceProviderFunc(headers.AllowedClientNames),
		headerrequest.StringSliceProviderFunc(headers.UsernameHeaders),
		headerrequest.StringSliceProviderFunc(headers.UIDHeaders),
		headerrequest.StringSliceProviderFunc(headers.GroupHeaders),
		headerrequest.StringSliceProviderFunc(headers.ExtraHeaderPrefixes))
	return p, nil
}

// Start follows what the API server says about itself until ctx is done.
func (p *FrontProxy) Start(ctx context.Context) error {
	go p.authority.Run(ctx, 1)
	p.headers.Run(ctx, 1)
	return nil
}

// NeedLeaderElection says that every replica serves.
func (p *FrontProxy) NeedLeaderElection() bool { return false }

var errStranger = errors.New("the request does not come from the cluster's API server")

// user returns who asks.
func (h *handler) user(r *http.Request) (user.Info, error) {
	answer, ok, err := h.Users.AuthenticateRequest(r)
	if err != nil {
		h.Log.DebugContext(r.Context(), "refused a caller", "err", err)
	}
	if err != nil || !ok {
		return nil, errStranger
	}
	return answer.User, nil
}

// mayReview asks whether the user may have Packs of the namespace reviewed. The API server asked that too before it passed
// the request on; this holds even where it does not.
func (h *handler) mayReview(ctx context.Context, who user.Info, namespace string) error {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range who.GetExtra() {
		extra[key] = values
	}
	review := &authorizationv1.SubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{},
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: who.GetName(), UID: who.GetUID(), Groups: who.GetGroups(), Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: "create",
				Group: renderv1.GroupVersion.Group, Version: renderv1.GroupVersion.Version, Resource: renderv1.PackReviewResource,
			},
		},
	}
	if err := h.Client.Create(ctx, review); err != nil {
		return fmt.Errorf("asking whether %s may do that: %w", who.GetName(), err)
	}
	if !review.Status.Allowed {
		return forbidden(who.GetName(), namespace)
	}
	return nil
}
