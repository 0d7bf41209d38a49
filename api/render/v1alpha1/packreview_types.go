package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// The names of the kind: in manifests, in URLs and in roles.
const (
	PackReviewKind     = "PackReview"
	PackReviewResource = "packreviews"
)

// PackReviewSpec says what to render. Exactly one of name and pack is given.
type PackReviewSpec struct {
	// Name of a Pack in the namespace.
	// +optional
	Name string `json:"name,omitempty"`

	// Pack as it is to become. It need not be in the cluster, and is not brought there.
	// +optional
	Pack *packv1.Pack `json:"pack,omitempty"`

	// Diff asks for what applying would change in the cluster, in place of the manifests.
	// +optional
	Diff bool `json:"diff,omitempty"`
}

// PackReviewStatus is what the Pack renders to. Values of Secrets and decrypted texts are hidden.
type PackReviewStatus struct {
	// Manifests are the objects, hooks left out, as a stream of YAML documents.
	// +optional
	Manifests string `json:"manifests,omitempty"`

	// Changes are what applying would change. None: nothing would.
	// +optional
	Changes []PackChange `json:"changes,omitempty"`
}

// PackChange is what applying would do to one object.
type PackChange struct {
	// Object that changes, as Kind/namespace/name.
	Object string `json:"object"`

	// Action is created, drifted, deleted or skipped.
	Action string `json:"action"`

	// Difference between the object in the cluster and the one that is rendered, field by field, as text.
	// +optional
	Difference string `json:"difference,omitempty"`
}

// PackReview asks what a Pack renders to. It is answered at once and not kept.
//
// +kubebuilder:object:root=true
type PackReview struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec PackReviewSpec `json:"spec"`
	// +optional
	Status PackReviewStatus `json:"status,omitempty"`
}
