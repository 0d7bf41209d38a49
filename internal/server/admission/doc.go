// Package admission answers the cluster's API server whether an object is let in: one that cannot work is refused when
// somebody applies it, with the reason, and what may still become right is let in with a warning.
package admission
