// Package v1alpha1 holds Peyk's own API, group peyk.dev: a PackSync connects the Packs of a namespace with a Git
// repository, in both directions.
//
// +kubebuilder:object:generate=true
// +groupName=peyk.dev
package v1alpha1
