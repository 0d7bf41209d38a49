package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SecretReflectorKind is the kind of a SecretReflector.
const SecretReflectorKind = "SecretReflector"

// Labels that name the SecretReflector on each of its copies.
const (
	ReflectorNameLabel      = "peyk.dev/reflector-name"
	ReflectorNamespaceLabel = "peyk.dev/reflector-namespace"
)

// AllowReflectionFrom, an annotation of a namespace, lists the namespaces whose SecretReflectors may write into it, parted by
// commas; "*" is all of them. It counts where tenants are kept apart.
const AllowReflectionFrom = "peyk.dev/allow-reflection-from"

// ReflectorDeletionPolicy says what becomes of a copy that is not wanted any more.
// +kubebuilder:validation:Enum=Delete;Keep
type ReflectorDeletionPolicy string

// The deletion policies.
const (
	ReflectorDelete ReflectorDeletionPolicy = "Delete"
	ReflectorKeep   ReflectorDeletionPolicy = "Keep"
)

// SecretReflectorSpec is the desired state of a SecretReflector.
type SecretReflectorSpec struct {
	// SecretRef names the Secret that is copied, in the namespace of the SecretReflector.
	// +required
	SecretRef ReflectedSecret `json:"secretRef"`

	// Keys of the Secret that are copied. Empty: all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Keys []string `json:"keys,omitempty"`

	// TargetName is the name of the copies. Default: that of the Secret.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
	TargetName string `json:"targetName,omitempty"`

	// Targets are the namespaces that get a copy.
	// +required
	Targets ReflectorTargets `json:"targets"`

	// DeletionPolicy says what becomes of the copies when the SecretReflector is deleted, or of a copy whose namespace is no
	// target any more. Copies stay while the Secret itself is gone.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy ReflectorDeletionPolicy `json:"deletionPolicy,omitempty"`

	// Suspend leaves the copies alone until it is false again.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ReflectedSecret names the Secret that is copied.
type ReflectedSecret struct {
	// Name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ReflectorTargets are the namespaces that get a copy: those that are named, and those that the selector chooses.
// +kubebuilder:validation:XValidation:rule="has(self.namespaceSelector) || has(self.namespaces) && size(self.namespaces) > 0",message="name namespaces or give a namespaceSelector"
type ReflectorTargets struct {
	// Namespaces by name. One that does not exist yet gets its copy when it does.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=10000
	Namespaces []string `json:"namespaces,omitempty"`

	// NamespaceSelector chooses namespaces by their labels; an empty one chooses all. The namespace of the SecretReflector is
	// not among them.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// ReflectorTargetState is how it stands with one target.
type ReflectorTargetState string

// The states of a target.
const (
	// TargetSynced has a copy that equals the Secret.
	TargetSynced ReflectorTargetState = "Synced"
	// TargetConflict has a Secret of that name that is not a copy. It is left as it is.
	TargetConflict ReflectorTargetState = "Conflict"
	// TargetDenied does not allow the copy.
	TargetDenied ReflectorTargetState = "Denied"
	// TargetAwaited is a namespace that does not exist, or is being deleted.
	TargetAwaited ReflectorTargetState = "Awaited"
	// TargetFailed is one where the last attempt failed.
	TargetFailed ReflectorTargetState = "Failed"
)

// ReflectorTarget is the observed state of one target.
type ReflectorTarget struct {
	// Namespace of the target.
	// +required
	Namespace string `json:"namespace"`
	// State of the target.
	// +required
	State ReflectorTargetState `json:"state"`
	// Message says what is wrong, and how to mend it.
	// +optional
	Message string `json:"message,omitempty"`
}

// SecretReflectorStatus is the observed state of a SecretReflector.
type SecretReflectorStatus struct {
	// ObservedGeneration is the last generation that was acted on.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions hold Ready, and Reconciling or Stalled while true.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// SourceVersion is the resource version of the Secret that the copies equal.
	// +optional
	SourceVersion string `json:"sourceVersion,omitempty"`

	// Synced is how many copies equal the Secret, as "12/14": of how many targets.
	// +optional
	Synced string `json:"synced,omitempty"`

	// Targets by namespace; those with a problem come first when there are more than the list holds.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	Targets []ReflectorTarget `json:"targets,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was acted on last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// SecretReflector copies a Secret of its own namespace into others, and keeps the copies equal.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sref,categories=peyk
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.spec.secretRef.name`
// +kubebuilder:printcolumn:name="Synced",type=string,JSONPath=`.status.synced`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name: at most 63 characters, for it is a label of the copies"
type SecretReflector struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SecretReflectorSpec `json:"spec"`
	// +optional
	Status SecretReflectorStatus `json:"status,omitempty"`
}

// SecretReflectorList is a list of SecretReflectors.
//
// +kubebuilder:object:root=true
type SecretReflectorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SecretReflector `json:"items"`
}

// CopyName is the name that the copies have.
func (r *SecretReflector) CopyName() string {
	if r.Spec.TargetName != "" {
		return r.Spec.TargetName
	}
	return r.Spec.SecretRef.Name
}

// GetConditions returns the conditions of the status.
func (r *SecretReflector) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (r *SecretReflector) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }
