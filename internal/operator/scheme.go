package operator

import (
	"errors"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
)

// NewScheme returns the kinds that Peyk knows by type.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(
		clientgoscheme.AddToScheme(scheme),
		sourcev1.AddToScheme(scheme),
		ksv1.AddToScheme(scheme),
		helmv2.AddToScheme(scheme),
		notificationv1.AddToScheme(scheme),
		notificationv1beta3.AddToScheme(scheme),
		packv1.AddToScheme(scheme),
		renderv1.AddToScheme(scheme),
		peykv1.AddToScheme(scheme),
	)
}
