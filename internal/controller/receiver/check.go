package receiver

import (
	"fmt"
	"slices"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"

	"github.com/peyk/peyk/internal/reconcile"
)

// senders are the types that are understood.
func senders() []string {
	return []string{
		notificationv1.GenericReceiver, notificationv1.GenericHMACReceiver, notificationv1.GenericOIDCReceiver,
		notificationv1.GitHubReceiver, notificationv1.GitLabReceiver, notificationv1.BitbucketReceiver,
		notificationv1.HarborReceiver, notificationv1.DockerHubReceiver, notificationv1.QuayReceiver,
		notificationv1.GCRReceiver, notificationv1.NexusReceiver, notificationv1.ACRReceiver, notificationv1.CDEventsReceiver,
	}
}

// check refuses what would otherwise only show when a webhook comes.
func check(obj *notificationv1.Receiver) error {
	spec := &obj.Spec
	if !slices.Contains(senders(), spec.Type) {
		return invalid("spec.type: %q is not supported by this version of Peyk; use one of %s", spec.Type, strings.Join(senders(), ", "))
	}
	if spec.Type == notificationv1.GenericOIDCReceiver {
		if err := checkProviders(spec.OIDCProviders); err != nil {
			return err
		}
	}
	for i, ref := range spec.Resources {
		field := fmt.Sprintf("spec.resources[%d]", i)
		if ref.Name == "*" && len(ref.MatchLabels) == 0 {
			return invalid("%s.matchLabels: is required with the name *", field)
		}
		if APIVersion(ref.CrossNamespaceObjectReference) == "" {
			return invalid("%s.apiVersion: is required for kind %s", field, ref.Kind)
		}
	}
	return checkExpressions(obj)
}

func checkExpressions(obj *notificationv1.Receiver) error {
	_, err := CompileFilters(obj)
	for i := 0; i < len(obj.Spec.OIDCProviders) && err == nil; i++ {
		_, err = CompileClaims(i, obj.Spec.OIDCProviders[i])
	}
	if err != nil {
		return reconcile.Stall(meta.InvalidCELExpressionReason, err)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return reconcile.Stallf(notificationv1.ValidationFailedReason, format, args...)
}

// APIVersion is the version of the object that ref names: its own, or the one that its kind has by default. It is empty
// for a kind that must state it.
func APIVersion(ref notificationv1.CrossNamespaceObjectReference) string {
	if ref.APIVersion != "" {
		return ref.APIVersion
	}
	switch ref.Kind {
	case "GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket":
		return "source.toolkit.fluxcd.io/v1"
	case "ImageRepository":
		return "image.toolkit.fluxcd.io/v1"
	case "ArtifactGenerator":
		return "source.extensions.fluxcd.io/v1beta1"
	case "Kustomization":
		return "kustomize.toolkit.fluxcd.io/v1"
	case "Pack", "PackRepository", "ClusterPackRepository":
		return "k8s.kubit.ir/v1alpha1"
	}
	return ""
}
