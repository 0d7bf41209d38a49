// Package v1alpha1 holds the kinds of the API group render.peyk.dev, which Peyk serves itself behind the cluster's API server.
//
// +kubebuilder:object:generate=true
// +groupName=render.peyk.dev
package v1alpha1
