package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kinds of vars that many Packs share.
const (
	ConfigKind        = "Config"
	ClusterConfigKind = "ClusterConfig"
)

// ConfigSpec holds the vars of a project.
type ConfigSpec struct {
	// Vars are scalars (null, string, number, boolean) that Packs refer to as '{{ vars.NAME }}'. A var's own value may
	// refer to other vars.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Vars map[string]apiextensionsv1.JSON `json:"vars,omitempty"`
}

// ClusterConfigSpec holds the vars of an organisation.
type ClusterConfigSpec struct {
	// Vars are scalars (null, string, number, boolean) that Packs refer to as '{{ vars.NAME }}'. A var's own value may
	// refer to other vars.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Vars map[string]apiextensionsv1.JSON `json:"vars,omitempty"`

	// NamespaceSelector chooses the namespaces whose Packs get these vars. Absent: all of them. Whoever may create a Pack
	// in such a namespace can read the vars.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// Config holds vars for the Packs of its namespace. They win over those of a ClusterConfig, and both over the Pack's own,
// which are defaults. Several Configs of a namespace are taken together.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=configs,categories=peyk
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Config struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec ConfigSpec `json:"spec"`
}

// ConfigList is a list of Configs.
//
// +kubebuilder:object:root=true
type ConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Config `json:"items"`
}

// ClusterConfig holds vars for the Packs of all namespaces, or of those it selects. Those of a Config win over them.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=clusterconfigs,scope=Cluster,categories=peyk
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterConfig struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// +required
	Spec ClusterConfigSpec `json:"spec"`
}

// ClusterConfigList is a list of ClusterConfigs.
//
// +kubebuilder:object:root=true
type ClusterConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterConfig `json:"items"`
}
