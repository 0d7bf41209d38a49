package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PackKind is the kind of a Pack.
const PackKind = "Pack"

// PackFinalizer keeps a Pack until its Helm release is uninstalled.
const PackFinalizer = "k8s.kubit.ir/finalizer"

// Annotations that ask for an operation on a Pack. Each new value, such as the time, asks for one; the status records the
// value that was acted on last.
const (
	// RestartAnnotation rolls all workloads of the release.
	RestartAnnotation = "k8s.kubit.ir/restartAt"
	// ReinstallAnnotation upgrades the release again from chart and values, even when they are as they were.
	ReinstallAnnotation = "k8s.kubit.ir/reinstallAt"
)

// VolumePolicy says what becomes of the volumes of a Pack that is deleted.
type VolumePolicy string

// What becomes of the volumes of a Pack that is deleted.
const (
	VolumesKeep   VolumePolicy = "Keep"
	VolumesDelete VolumePolicy = "Delete"
)

// PackPhase is the state of a Pack in one word, as people see it.
type PackPhase string

// The phases of a Pack.
const (
	PackPending      PackPhase = "Pending"
	PackApplied      PackPhase = "Applied"
	PackApplyFailed  PackPhase = "ApplyFailed"
	PackInvalid      PackPhase = "Invalid"
	PackRemoving     PackPhase = "Removing"
	PackRemoveFailed PackPhase = "RemoveFailed"
)

// PackSpec is the desired state of a Pack.
type PackSpec struct {
	// Chart says which chart to install, from where and in which version.
	// +required
	Chart PackChart `json:"chart"`

	// Vars are scalars (null, string, number, boolean) that chart fields and values refer to as '{{ vars.NAME }}'.
	// A var's own value may refer to other vars.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Vars map[string]apiextensionsv1.JSON `json:"vars,omitempty"`

	// Values go to Helm after the vars in them are resolved.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`

	// AutoUpgrade installs a newer chart version that satisfies the constraint by itself. When false, the version that
	// was resolved first stays until spec.chart is changed, and status.newestVersion shows what is available.
	// +optional
	AutoUpgrade bool `json:"autoUpgrade,omitempty"`

	// Suspend stops reconciling this Pack: nothing is installed, upgraded or repaired until it is false again.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Timeout of one Helm action, waiting for readiness included. Default 5m.
	// +optional
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:Type=string
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Volumes says what becomes of the PersistentVolumeClaims when the Pack is deleted, those that StatefulSets made
	// included. Keep: they stay, and a Pack of the same name takes them up again. Delete: they go, and their data with them.
	// +optional
	// +kubebuilder:validation:Enum=Keep;Delete
	// +kubebuilder:default=Keep
	Volumes VolumePolicy `json:"volumes,omitempty"`

	// RollbackOnFailure takes the release back to the last revision that was healthy when an upgrade fails, or when its
	// objects are not healthy within the timeout. What failed is not tried again until the Pack changes, or until a
	// reinstall is asked for.
	// +optional
	RollbackOnFailure bool `json:"rollbackOnFailure,omitempty"`

	// HistoryLimit is how many revisions of the Pack's own desired state are kept to go back to. Default 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	HistoryLimit *int32 `json:"historyLimit,omitempty"`
}

// PackChart names a chart.
type PackChart struct {
	// Repository that holds the chart. Default: the ClusterPackRepository that has a chart of this name, kubit-paas first.
	// +optional
	// +nullable
	Repository *PackRepositoryRef `json:"repository,omitempty"`

	// Name of the chart in its repository.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Version is a constraint: '~=X.Y.Z' and '~=X.Y' in the sense of PEP 440, an exact version, or a range as Helm
	// understands it. Empty or null: the newest release that is not a pre-release.
	// +optional
	// +nullable
	Version *string `json:"version,omitempty"`
}

// PackRepositoryRef refers to a repository.
type PackRepositoryRef struct {
	// Kind of the repository. PackRepository is looked up in the Pack's namespace.
	// +optional
	// +kubebuilder:validation:Enum=ClusterPackRepository;PackRepository
	// +kubebuilder:default=ClusterPackRepository
	Kind string `json:"kind,omitempty"`

	// Name of the repository.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// PackStatus is the observed state of a Pack.
type PackStatus struct {
	// ObservedGeneration is the last generation that was acted on.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions hold Ready, and Reconciling or Stalled while true.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Phase is the state in one word.
	// +optional
	Phase PackPhase `json:"phase,omitempty"`

	// UID is the short opaque id of this Pack in URLs of the HTTP API, such as the deploy webhook's.
	// +optional
	UID string `json:"uid,omitempty"`

	// Repository that the chart was resolved from, as kind/name.
	// +optional
	Repository string `json:"repository,omitempty"`

	// ResolvedVersion is the chart version that is installed.
	// +optional
	ResolvedVersion string `json:"resolvedVersion,omitempty"`

	// ResolvedFor is the chart and the constraint that resolvedVersion was chosen for, vars resolved.
	// +optional
	ResolvedFor string `json:"resolvedFor,omitempty"`

	// NewestVersion is the newest chart version that satisfies the constraint.
	// +optional
	NewestVersion string `json:"newestVersion,omitempty"`

	// AvailableVersion is the newest chart version in the repository, whatever the constraint says.
	// +optional
	AvailableVersion string `json:"availableVersion,omitempty"`

	// AppliedDigest identifies what was applied last: chart version, resolved values and vars.
	// +optional
	AppliedDigest string `json:"appliedDigest,omitempty"`

	// ReleaseRevision is the revision of the Helm release that is deployed.
	// +optional
	ReleaseRevision int `json:"releaseRevision,omitempty"`

	// LastAppliedTime is when the release was last installed, upgraded or repaired.
	// +optional
	LastAppliedTime *metav1.Time `json:"lastAppliedTime,omitempty"`

	// LastError is the error of the last attempt, empty after a success. It never holds secret values.
	// +optional
	LastError string `json:"lastError,omitempty"`

	// Revision is the number of the Pack's revision that is applied. Each is a ControllerRevision.
	// +optional
	Revision int64 `json:"revision,omitempty"`

	// HealthyRelease is the revision of the Helm release that was healthy last.
	// +optional
	HealthyRelease int `json:"healthyRelease,omitempty"`

	// FailedDigest identifies what failed last and was rolled back, as appliedDigest does. It is not tried again.
	// +optional
	FailedDigest string `json:"failedDigest,omitempty"`

	// LastHandledRestartAt is the value of the annotation k8s.kubit.ir/restartAt that was acted on last.
	// +optional
	LastHandledRestartAt string `json:"lastHandledRestartAt,omitempty"`

	// LastHandledReinstallAt is the value of the annotation k8s.kubit.ir/reinstallAt that was acted on last.
	// +optional
	LastHandledReinstallAt string `json:"lastHandledReinstallAt,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was acted on last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// Pack is a chart with values that Peyk keeps installed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pk,categories=all;peyk
// +kubebuilder:printcolumn:name="Chart",type=string,JSONPath=`.spec.chart.name`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.resolvedVersion`
// +kubebuilder:printcolumn:name="Constraint",type=string,JSONPath=`.spec.chart.version`
// +kubebuilder:printcolumn:name="Newest",type=string,JSONPath=`.status.newestVersion`,priority=1
// +kubebuilder:printcolumn:name="AutoUpgrade",type=boolean,JSONPath=`.spec.autoUpgrade`,priority=1
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Pack struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PackSpec `json:"spec"`
	// +optional
	Status PackStatus `json:"status,omitempty"`
}

// PackList is a list of Packs.
//
// +kubebuilder:object:root=true
type PackList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Pack `json:"items"`
}

// GetConditions returns the conditions of the status.
func (p *Pack) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (p *Pack) SetConditions(c []metav1.Condition) { p.Status.Conditions = c }
