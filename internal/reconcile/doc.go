// Package reconcile is what every controller shares: an object is reconciled by a list of phases, their errors carry
// their meaning, and only this package writes conditions, events, metrics, finalizers and the one status patch.
package reconcile
