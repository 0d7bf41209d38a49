// Package tenancy holds what the tenants of a cluster may do to each other: nothing, when it is locked down.
package tenancy

import (
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
)

// Policy says what one tenant's objects may refer to, and on whose behalf they act. The zero Policy trusts everybody.
type Policy struct {
	// NoCrossNamespaceRefs refuses references to objects of another namespace: sources, charts, dependencies, the
	// sources of alerts, the targets of receivers.
	NoCrossNamespaceRefs bool
	// DefaultServiceAccount is impersonated for an object that names none, in the object's own namespace. Empty: such an
	// object acts with Peyk's own rights.
	DefaultServiceAccount string
	// KubeconfigExec and KubeconfigInsecureTLS let the kubeconfig of a remote cluster run programs in Peyk's container,
	// and leave out the check of the server's certificate.
	KubeconfigExec, KubeconfigInsecureTLS bool
}

// LockDown returns the policy for tenants that do not trust each other. What p already says stays.
func (p Policy) LockDown() Policy {
	p.NoCrossNamespaceRefs = true
	if p.DefaultServiceAccount == "" {
		p.DefaultServiceAccount = "default"
	}
	return p
}

// CheckRef returns an error that stalls the object when the policy forbids an object in namespace from to refer to one
// in namespace to. field names the reference, as in spec.sourceRef.
func (p Policy) CheckRef(from, to, field string) error {
	if !p.NoCrossNamespaceRefs || to == "" || to == from {
		return nil
	}
	return reconcile.Stallf(AccessDenied,
		"%s: namespace %s may not be referred to from namespace %s: cross-namespace references are switched off; move one of the two objects", field, to, from)
}

// AccessDenied is the reason of the Ready condition of an object that refers to what it must not.
const AccessDenied = "AccessDenied"

// Identity is on whose behalf an object in namespace acts that names serviceAccount, or none.
func (p Policy) Identity(namespace, serviceAccount string) kube.Identity {
	if serviceAccount == "" {
		serviceAccount = p.DefaultServiceAccount
	}
	return kube.Identity{Namespace: namespace, ServiceAccount: serviceAccount}
}
