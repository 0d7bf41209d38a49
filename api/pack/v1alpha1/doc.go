// Package v1alpha1 holds the Pack API, group k8s.kubit.ir: a Pack is a chart, a version constraint, vars and values
// that Peyk keeps installed as a Helm release.
//
// +kubebuilder:object:generate=true
// +groupName=k8s.kubit.ir
package v1alpha1
