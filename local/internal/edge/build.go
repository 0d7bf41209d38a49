package edge

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Annotations of the ingress API that have no field.
const (
	annotationClass        = "kubernetes.io/ingress.class"
	annotationDefaultClass = "ingressclass.kubernetes.io/is-default-class"
)

// snapshot is all of the cluster that a table is made of.
type snapshot struct {
	class     string
	classes   []*networkingv1.IngressClass
	ingresses []*networkingv1.Ingress
	services  map[string]*corev1.Service              // by namespace/name
	slices    map[string][]*discoveryv1.EndpointSlice // by namespace/service
	secrets   map[string]*corev1.Secret               // by namespace/name, only of type kubernetes.io/tls
}

// builder makes one table. turns carries the round-robin positions over from the table before.
type builder struct {
	snapshot
	table    *table
	backends map[string]*backend
	turns    map[string]*atomic.Uint64
	problems []string
}

// build is a pure function of the snapshot, save for the positions in turns, which are shared between tables. problems are what
// a person should know although requests can be served.
func build(snap snapshot, turns map[string]*atomic.Uint64) (built *table, kept map[string]*atomic.Uint64, problems []string) {
	b := &builder{
		snapshot: snap,
		table:    &table{hosts: map[string][]route{}, wildcards: map[string][]route{}, certs: map[string]*tls.Certificate{}},
		backends: map[string]*backend{},
		turns:    turns,
	}
	for _, ingress := range served(snap) {
		b.addIngress(ingress)
	}
	for _, routes := range b.table.hosts {
		sortRoutes(routes)
	}
	for _, routes := range b.table.wildcards {
		sortRoutes(routes)
	}
	slices.Sort(b.table.names)
	b.table.names = slices.Compact(b.table.names)
	kept = map[string]*atomic.Uint64{}
	for key, backend := range b.backends {
		kept[key] = backend.turn
	}
	return b.table, kept, b.problems
}

// served returns the Ingresses of our class, the oldest first: where two claim the same path, the older one has it.
func served(snap snapshot) []*networkingv1.Ingress {
	ours, isDefault := map[string]bool{snap.class: true}, false
	for _, class := range snap.classes {
		if class.Spec.Controller == ControllerName {
			ours[class.Name] = true
		}
		if ours[class.Name] && class.Annotations[annotationDefaultClass] == "true" {
			isDefault = true
		}
	}
	var found []*networkingv1.Ingress
	for _, ingress := range snap.ingresses {
		switch name := className(ingress); {
		case name != "" && ours[name], name == "" && isDefault:
			found = append(found, ingress)
		}
	}
	slices.SortFunc(found, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(
			a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time),
			strings.Compare(a.Namespace, b.Namespace),
			strings.Compare(a.Name, b.Name),
		)
	})
	return found
}

func className(ingress *networkingv1.Ingress) string {
	if ingress.Spec.IngressClassName != nil {
		return *ingress.Spec.IngressClassName
	}
	return ingress.Annotations[annotationClass]
}

func (b *builder) addIngress(ingress *networkingv1.Ingress) {
	var fallback *backend
	if ingress.Spec.DefaultBackend != nil {
		fallback = b.backend(ingress, ingress.Spec.DefaultBackend)
		if b.table.fallback == nil {
			b.table.fallback = fallback
		}
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			// A host without paths belongs to the Ingress' default backend.
			if fallback != nil {
				b.addRoute(rule.Host, route{backend: fallback})
			}
			continue
		}
		for _, path := range rule.HTTP.Paths {
			b.addRoute(rule.Host, newRoute(path, b.backend(ingress, &path.Backend)))
		}
	}
	for _, t := range ingress.Spec.TLS {
		b.addCertificate(ingress, t)
	}
}

// newRoute takes ImplementationSpecific as a prefix, as most routers do.
func newRoute(path networkingv1.HTTPIngressPath, to *backend) route {
	if path.PathType != nil && *path.PathType == networkingv1.PathTypeExact {
		return route{path: path.Path, exact: true, backend: to}
	}
	return route{path: strings.TrimRight(path.Path, "/"), backend: to}
}

func (b *builder) addRoute(host string, r route) {
	if host != "" {
		b.table.names = append(b.table.names, host)
	}
	host = strings.ToLower(host)
	if domain, wild := strings.CutPrefix(host, "*."); wild {
		b.table.wildcards[domain] = append(b.table.wildcards[domain], r)
		return
	}
	b.table.hosts[host] = append(b.table.hosts[host], r)
}

func (b *builder) addCertificate(ingress *networkingv1.Ingress, t networkingv1.IngressTLS) {
	if t.SecretName == "" {
		return // the generated certificate is wanted
	}
	where := fmt.Sprintf("ingress %s/%s: spec.tls: ", ingress.Namespace, ingress.Name)
	secret := b.secrets[ingress.Namespace+"/"+t.SecretName]
	if secret == nil {
		b.problems = append(b.problems, where+"secret "+t.SecretName+" of type kubernetes.io/tls does not exist; a self-signed certificate is used")
		return
	}
	cert, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		// The library's errors tell of the encoding only, never of the key's bytes.
		b.problems = append(b.problems, where+"secret "+t.SecretName+" is unusable; a self-signed certificate is used: "+err.Error())
		return
	}
	hosts := t.Hosts
	if len(hosts) == 0 {
		for _, rule := range ingress.Spec.Rules {
			hosts = append(hosts, rule.Host)
		}
	}
	for _, host := range hosts {
		host = strings.ToLower(host)
		if _, taken := b.table.certs[host]; !taken {
			b.table.certs[host] = &cert
		}
	}
}
