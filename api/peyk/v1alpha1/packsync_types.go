package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PackSyncKind is the kind of a PackSync.
const PackSyncKind = "PackSync"

// Annotations on a Pack that tell the PackSync that it is connected to what to do.
const (
	// ResolveAnnotation ends a conflict, or connects a detached Pack again: Git, Cluster, Merge, MergePreferGit or
	// MergePreferCluster. It is removed when that is done.
	ResolveAnnotation = "peyk.dev/resolve"
	// CommitAnnotation says whether changes of this Pack in the cluster are committed: Commit or Detach. It takes the place
	// of spec.clusterChanges.
	CommitAnnotation = "peyk.dev/cluster-changes"
	// MessageAnnotation is the message of the next commit, and AuthorAnnotation its author, as "Name <address>". Both are
	// removed with it.
	MessageAnnotation = "peyk.dev/commit-message"
	AuthorAnnotation  = "peyk.dev/commit-author"
)

// ExtendWebhookAnnotation, on a PackSync, makes its webhook valid for the whole time again, counted from when it is set to
// a new value.
const ExtendWebhookAnnotation = "peyk.dev/extend-webhook"

// The values of ResolveAnnotation.
const (
	ResolveGit                = "Git"
	ResolveCluster            = "Cluster"
	ResolveMerge              = "Merge"
	ResolveMergePreferGit     = "MergePreferGit"
	ResolveMergePreferCluster = "MergePreferCluster"
)

// ClusterChanges says what becomes of changes of a connected Pack in the cluster.
type ClusterChanges string

// What becomes of changes in the cluster.
const (
	CommitChanges ClusterChanges = "Commit"
	DetachPack    ClusterChanges = "Detach"
)

// PackSyncSpec is the desired state of a PackSync.
type PackSyncSpec struct {
	// URL of the repository: http://, https:// or ssh://.
	// +required
	// +kubebuilder:validation:Pattern="^(http|https|ssh)://.+$"
	URL string `json:"url"`

	// Ref says which branch is read and written.
	// +optional
	Ref *PackSyncRef `json:"ref,omitempty"`

	// SecretRef names a Secret of the same namespace with the right to read and to push: token, or username and password,
	// or bearerToken, or identity and known_hosts for SSH; and ca.crt where the server's authority is not a public one.
	// +optional
	SecretRef *LocalRef `json:"secretRef,omitempty"`

	// Paths are the folders or files that are looked through for Packs. Empty: the whole repository, of which only files
	// named *.pack.yaml or *.pack.yml are read.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Paths []string `json:"paths,omitempty"`

	// Interval between two looks at the repository, beside those that its webhook asks for. Default 1m.
	// +optional
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:Type=string
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Create makes the Packs of files that have none.
	// +optional
	Create bool `json:"create,omitempty"`

	// Prune deletes a Pack when its file is removed, if it was made from a file.
	// +optional
	Prune bool `json:"prune,omitempty"`

	// ClusterChanges says what becomes of changes of a connected Pack that are made in the cluster. Commit: they are
	// committed. Detach: they are not, and changes in Git are not applied to that Pack any more until it is resolved.
	// +optional
	// +kubebuilder:validation:Enum=Commit;Detach
	// +kubebuilder:default=Commit
	ClusterChanges ClusterChanges `json:"clusterChanges,omitempty"`

	// Author of commits whose author is not known. Default: Peyk.
	// +optional
	Author *Author `json:"author,omitempty"`

	// SigningKeyRef names a Secret of the same namespace whose key identity (a private key for SSH) or git.asc (one for
	// OpenPGP) signs the commits; password opens it where it is encrypted.
	// +optional
	SigningKeyRef *LocalRef `json:"signingKeyRef,omitempty"`

	// ServiceAccountName is impersonated when Packs are written. Default: what Peyk is started with.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Webhook is the address that the Git server calls after a push.
	// +optional
	Webhook *PackSyncWebhook `json:"webhook,omitempty"`

	// Mappings connect Packs that have no file yet, choose among files, and disconnect. All other Packs with a file are
	// connected by themselves.
	// +optional
	// +listType=map
	// +listMapKey=pack
	Mappings []PackMapping `json:"mappings,omitempty"`

	// Suspend stops everything in both directions.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// PackSyncRef names a branch.
type PackSyncRef struct {
	// Branch. Default: the one that the repository names as its default.
	// +optional
	Branch string `json:"branch,omitempty"`
}

// LocalRef names a Secret of the same namespace.
type LocalRef struct {
	// Name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// Author is who a commit is by.
type Author struct {
	// Name of the author.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Email of the author.
	// +optional
	Email string `json:"email,omitempty"`
}

// PackSyncWebhook is the address that the Git server calls.
type PackSyncWebhook struct {
	// Validity is how long an address is good for. A new one is made before it ends. Default 720h.
	// +optional
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:Type=string
	Validity *metav1.Duration `json:"validity,omitempty"`
}

// PackMapping connects a Pack with a file.
type PackMapping struct {
	// Pack is the name of a Pack of the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	Pack string `json:"pack"`

	// Path of the file from the root of the repository, such as packs/shop/web.pack.yaml. A Pack without a file gets one
	// there.
	// +optional
	Path string `json:"path,omitempty"`

	// Disconnected keeps Pack and file apart.
	// +optional
	Disconnected bool `json:"disconnected,omitempty"`
}

// PackState is how a Pack and its file are to each other.
type PackState string

// The states of a Pack and its file.
const (
	// PackSynced says that both are the same.
	PackSynced PackState = "Synced"
	// PackDetached says that the Pack was changed in the cluster, and Git is not followed.
	PackDetached PackState = "Detached"
	// PackConflict says that both were changed, or that there is a second file.
	PackConflict PackState = "Conflict"
	// PackUnmapped says that one of the two is missing, or that they are disconnected.
	PackUnmapped PackState = "Unmapped"
	// PackInvalid says that one of the two cannot be written.
	PackInvalid PackState = "Invalid"
)

// SyncedPack is a Pack, or a file for one.
type SyncedPack struct {
	// Name and Namespace of the Pack.
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Path of the file.
	// +optional
	Path string `json:"path,omitempty"`

	// State of the two.
	// +required
	State PackState `json:"state"`

	// Message says why, and what to do.
	// +optional
	Message string `json:"message,omitempty"`

	// Base names the last spec that both had.
	// +optional
	Base string `json:"base,omitempty"`

	// FromGit says that the Pack was made from its file.
	// +optional
	FromGit bool `json:"fromGit,omitempty"`
}

// SyncCommit is a commit in the log.
type SyncCommit struct {
	// Commit is its hash.
	Commit string `json:"commit"`
	// Title is the first line of its message.
	Title string `json:"title"`
	// Author is its author's name.
	Author string `json:"author"`
	// Time is when it was made.
	Time metav1.Time `json:"time"`
	// Files is how many files it changed. Absent where the history that is known begins.
	// +optional
	Files *int `json:"files,omitempty"`
}

// WebhookAddress is an address that the Git server may call.
type WebhookAddress struct {
	// Path of the address, behind Peyk's host. Who knows it may ask for a look at the repository, and nothing else.
	Path string `json:"path"`
	// Expires is when it stops working.
	Expires metav1.Time `json:"expires"`
}

// PackSyncStatus is the observed state of a PackSync.
type PackSyncStatus struct {
	// ObservedGeneration is the last generation that was acted on.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions hold Ready, and Reconciling or Stalled while true.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Branch that is read and written.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Revision is the commit that was seen last, as branch@sha1:hash.
	// +optional
	Revision string `json:"revision,omitempty"`

	// LastSyncTime is when a change was last taken over, in either direction.
	// +optional
	LastSyncTime *metav1.Time `json:"lastSyncTime,omitempty"`

	// Webhook is the address to call, and PreviousWebhook the one before it, while that is good.
	// +optional
	Webhook *WebhookAddress `json:"webhook,omitempty"`
	// +optional
	PreviousWebhook *WebhookAddress `json:"previousWebhook,omitempty"`
	// LastWebhookExtension is the value of the annotation peyk.dev/extend-webhook that was acted on last.
	// +optional
	LastWebhookExtension string `json:"lastWebhookExtension,omitempty"`

	// Packs that are connected, could be, or are not for a reason.
	// +optional
	Packs []SyncedPack `json:"packs,omitempty"`

	// Connected is how many of them are the same in Git and in the cluster, as synced/all.
	// +optional
	Connected string `json:"connected,omitempty"`

	// Commits are the last ones of the branch.
	// +optional
	Commits []SyncCommit `json:"commits,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was acted on last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// PackSync connects the Packs of its namespace with files in a Git repository, in both directions.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pks,categories=peyk
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Branch",type=string,JSONPath=`.status.branch`
// +kubebuilder:printcolumn:name="Packs",type=string,JSONPath=`.status.connected`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="LastSync",type=date,JSONPath=`.status.lastSyncTime`
type PackSync struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PackSyncSpec `json:"spec"`
	// +optional
	Status PackSyncStatus `json:"status,omitempty"`
}

// PackSyncList is a list of PackSyncs.
//
// +kubebuilder:object:root=true
type PackSyncList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PackSync `json:"items"`
}

// Changes says what becomes of changes in the cluster of a Pack with these annotations.
func (s *PackSyncSpec) Changes(annotations map[string]string) ClusterChanges {
	return cmp.Or(ClusterChanges(annotations[CommitAnnotation]), s.ClusterChanges, CommitChanges)
}

// Pack returns what the status says of a Pack, nil when it says nothing. It does not copy.
func (s *PackSyncStatus) Pack(key types.NamespacedName) *SyncedPack {
	for i := range s.Packs {
		if s.Packs[i].Name == key.Name && s.Packs[i].Namespace == key.Namespace {
			return &s.Packs[i]
		}
	}
	return nil
}

// GetConditions returns the conditions of the status.
func (p *PackSync) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (p *PackSync) SetConditions(c []metav1.Condition) { p.Status.Conditions = c }
