package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Kinds of repositories.
const (
	PackRepositoryKind        = "PackRepository"
	ClusterPackRepositoryKind = "ClusterPackRepository"
)

// PackRepositorySpec is the desired state of a PackRepository or ClusterPackRepository.
type PackRepositorySpec struct {
	// URL of the repository: http:// or https:// for a Helm repository with an index.yaml, oci:// for a registry,
	// builtin:// for the charts that ship inside Peyk (builtin://kubit-paas, builtin://kubit-packs). With spec.git it is
	// a Git repository: http://, https:// or ssh://.
	// +required
	// +kubebuilder:validation:Pattern="^(http|https|oci|builtin|ssh)://.+$"
	URL string `json:"url"`

	// Git makes the repository a Git repository with folders that are charts.
	// +optional
	Git *PackRepositoryGit `json:"git,omitempty"`

	// Verify demands a signature of every chart: a chart without a valid one is not installed.
	// +optional
	Verify *PackRepositoryVerification `json:"verify,omitempty"`

	// SecretRef names a Secret with username and password; for a Git repository also with bearerToken, or with identity
	// and known_hosts for ssh. For a PackRepository it is in the same namespace, for a ClusterPackRepository in Peyk's own.
	// +optional
	SecretRef *SecretRef `json:"secretRef,omitempty"`

	// Interval between two reads of the index. Default 10m.
	// +optional
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:Type=string
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Insecure allows a registry of an oci:// URL to be spoken to over plain HTTP.
	// +optional
	Insecure bool `json:"insecure,omitempty"`

	// Suspend stops reading the index.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// PackRepositoryGit says where in a Git repository the charts are. With a branch, each chart has the one version of its
// Chart.yaml at the head of the branch; with tags, the versions of its Chart.yaml in the commits of the tags.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.branch) && has(self.tags))",message="name a branch or a range of tags, not both"
type PackRepositoryGit struct {
	// Branch whose head is read. Default, without tags: main.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Tags is a range of versions, such as ">=1.0.0"; every tag in it is read, the newest 50 of them. A tag may have a
	// chart's name and a dash, or a v, before its version.
	// +optional
	Tags string `json:"tags,omitempty"`

	// Path of the folder that is a chart, or whose folders are. Default: the root of the repository.
	// +optional
	Path string `json:"path,omitempty"`
}

// PackRepositoryVerification says how charts are verified.
type PackRepositoryVerification struct {
	// Provider is how charts are signed: pgp, a provenance file beside the archive as helm package --sign makes it, for
	// repositories with an index.yaml; cosign, for oci:// repositories.
	// +required
	// +kubebuilder:validation:Enum=pgp;cosign
	Provider string `json:"provider"`

	// SecretRef names the Secret with the public keys that are trusted, one a key of the Secret: for pgp keyrings, armoured
	// or not; for cosign public keys in PEM form, under names that end in .pub. It is where that of spec.secretRef is.
	// +required
	SecretRef SecretRef `json:"secretRef"`
}

// SecretRef names a Secret.
type SecretRef struct {
	// Name of the Secret.
	// +required
	Name string `json:"name"`
}

// PackRepositoryStatus is the observed state of a repository.
type PackRepositoryStatus struct {
	// ObservedGeneration is the last generation that was acted on.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions hold Ready, and Reconciling or Stalled while true.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Charts is how many charts the repository holds. It is absent for oci:// repositories, which cannot be listed.
	// +optional
	Charts *int `json:"charts,omitempty"`

	// Revision is the digest of the index that was read last.
	// +optional
	Revision string `json:"revision,omitempty"`

	// LastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that was acted on last.
	// +optional
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// PackRepository is a repository of charts for the Packs of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pkrepo,categories=peyk
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Charts",type=integer,JSONPath=`.status.charts`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type PackRepository struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec PackRepositorySpec `json:"spec"`
	// +optional
	Status PackRepositoryStatus `json:"status,omitempty"`
}

// PackRepositoryList is a list of PackRepositories.
//
// +kubebuilder:object:root=true
type PackRepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PackRepository `json:"items"`
}

// ClusterPackRepository is a repository of charts for the Packs of every namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cpkrepo,categories=peyk
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Charts",type=integer,JSONPath=`.status.charts`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type ClusterPackRepository struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec PackRepositorySpec `json:"spec"`
	// +optional
	Status PackRepositoryStatus `json:"status,omitempty"`
}

// ClusterPackRepositoryList is a list of ClusterPackRepositories.
//
// +kubebuilder:object:root=true
type ClusterPackRepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterPackRepository `json:"items"`
}

// RepositorySpec returns the spec.
func (r *PackRepository) RepositorySpec() *PackRepositorySpec { return &r.Spec }

// RepositoryStatus returns the status, to be changed in place.
func (r *PackRepository) RepositoryStatus() *PackRepositoryStatus { return &r.Status }

// GetConditions returns the conditions of the status.
func (r *PackRepository) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (r *PackRepository) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }

// RepositorySpec returns the spec.
func (r *ClusterPackRepository) RepositorySpec() *PackRepositorySpec { return &r.Spec }

// RepositoryStatus returns the status, to be changed in place.
func (r *ClusterPackRepository) RepositoryStatus() *PackRepositoryStatus { return &r.Status }

// GetConditions returns the conditions of the status.
func (r *ClusterPackRepository) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (r *ClusterPackRepository) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }
