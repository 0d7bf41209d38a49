package edge

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// backend resolves a service port. Equal ones share their place in the round-robin.
func (b *builder) backend(ingress *networkingv1.Ingress, from *networkingv1.IngressBackend) *backend {
	found := &backend{namespace: ingress.Namespace, ingress: ingress.Name, scheme: schemeHTTP, turn: new(atomic.Uint64)}
	if from.Service == nil {
		found.problem = fmt.Sprintf("Ingress %s names a resource as backend; the edge serves services only: set backend.service", ingress.Name)
		return found
	}
	found.service, found.port = from.Service.Name, portText(from.Service.Port)
	key := strings.Join([]string{found.namespace, found.service, found.port}, "/")
	if known := b.backends[key]; known != nil {
		return known
	}
	if turn := b.turns[key]; turn != nil {
		found.turn = turn
	}
	b.backends[key] = found
	b.resolve(found, from.Service.Port)
	return found
}

func portText(port networkingv1.ServiceBackendPort) string {
	if port.Name != "" {
		return port.Name
	}
	return strconv.Itoa(int(port.Number))
}

// resolve fills in the endpoints, or the reason why there are none.
func (b *builder) resolve(to *backend, port networkingv1.ServiceBackendPort) {
	key := to.namespace + "/" + to.service
	service := b.services[key]
	if service == nil {
		to.problem = fmt.Sprintf("service %s does not exist in namespace %s: check backend.service.name of Ingress %s", to.service, to.namespace, to.ingress)
		return
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		to.problem = fmt.Sprintf("service %s is of type ExternalName, which leads out of the cluster: the edge serves pods only", to.service)
		return
	}
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool {
		return (port.Name != "" && p.Name == port.Name) || (port.Name == "" && p.Port == port.Number)
	})
	if i < 0 {
		to.problem = fmt.Sprintf("service %s has no port %s: check backend.service.port of Ingress %s", to.service, to.port, to.ingress)
		return
	}
	servicePort := service.Spec.Ports[i]
	to.scheme = schemeOf(servicePort.AppProtocol)
	to.endpoints = ready(b.slices[key], servicePort.Name)
	if len(to.endpoints) == 0 {
		to.problem = fmt.Sprintf("service %s has no ready pod: see `kubectl -n %s get pods,endpointslices -l kubernetes.io/service-name=%s`, and `kubectl -n %s describe pods`", to.service, to.namespace, to.service, to.namespace)
	}
}

// schemeOf reads the protocol names that the service API defines for appProtocol.
func schemeOf(appProtocol *string) scheme {
	if appProtocol == nil {
		return schemeHTTP
	}
	switch strings.ToLower(*appProtocol) {
	case "https":
		return schemeHTTPS
	case "kubernetes.io/h2c", "h2c", "grpc":
		return schemeH2C
	}
	return schemeHTTP
}

// ready lists the endpoints that take traffic. When there are none, those that are ending but still serve are used, as
// kube-proxy does, so that a replaced pod loses no request.
func ready(slicesOfService []*discoveryv1.EndpointSlice, portName string) []string {
	var steady, ending []string
	for _, slice := range slicesOfService {
		port := slicePort(slice, portName)
		if port == "" {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			if len(endpoint.Addresses) == 0 {
				continue
			}
			// All addresses of an endpoint are the same pod; the API says to use the first.
			address := net.JoinHostPort(endpoint.Addresses[0], port)
			switch c := endpoint.Conditions; {
			case c.Ready == nil || *c.Ready:
				steady = append(steady, address)
			case c.Serving != nil && *c.Serving && c.Terminating != nil && *c.Terminating:
				ending = append(ending, address)
			}
		}
	}
	if len(steady) == 0 {
		steady = ending
	}
	slices.Sort(steady)
	return slices.Compact(steady)
}

func slicePort(slice *discoveryv1.EndpointSlice, name string) string {
	for _, port := range slice.Ports {
		given := ""
		if port.Name != nil {
			given = *port.Name
		}
		if port.Port != nil && given == name {
			return strconv.Itoa(int(*port.Port))
		}
	}
	return ""
}
