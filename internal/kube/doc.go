// Package kube is the home of client-go plumbing: one client per identity, reused, that speaks of objects without
// knowing their types.
package kube
