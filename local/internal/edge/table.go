package edge

import (
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/idna"
)

// table is everything a request needs to find its way. It is never changed after it was built, so lookups take no lock.
type table struct {
	hosts     map[string][]route // by exact host name; "" holds the rules for any host
	wildcards map[string][]route // "*.example.org" is kept under "example.org"
	fallback  *backend           // the default backend, when an Ingress names one
	certs     map[string]*tls.Certificate
	names     []string // hosts as Ingresses write them, in order, for the page of an unknown host
}

// route is one path of one rule.
type route struct {
	path    string // for prefixes without the closing slash
	exact   bool
	backend *backend
}

// backend is a service port with the pods behind it.
type backend struct {
	namespace string
	ingress   string
	service   string
	port      string // as the Ingress writes it
	scheme    scheme
	endpoints []string // address:port of ready pods
	problem   string   // why there are no endpoints, with the mend
	turn      *atomic.Uint64
}

// scheme is how the edge speaks to pods, from the port's appProtocol.
type scheme string

const (
	schemeHTTP  scheme = "http"
	schemeHTTPS scheme = "https"
	schemeH2C   scheme = "h2c"
)

// find returns the backend for a request, and whether the host is known at all.
func (t *table) find(host, path string) (found *backend, hostKnown bool) {
	path = matchable(path)
	for _, routes := range [][]route{t.hosts[host], t.wildcards[parent(host)], t.hosts[""]} {
		hostKnown = hostKnown || len(routes) > 0
		for _, r := range routes {
			if r.matches(path) {
				return r.backend, true
			}
		}
	}
	return t.fallback, hostKnown
}

func (r route) matches(path string) bool {
	if r.exact {
		return path == r.path
	}
	// Prefixes are compared by whole elements: /foo is a prefix of /foo and /foo/bar, not of /foobar.
	rest, found := strings.CutPrefix(path, r.path)
	return found && (rest == "" || rest[0] == '/')
}

// sortRoutes brings the longest path first and, among equals, the exact one. It keeps the order of full equals, which is age.
func sortRoutes(routes []route) {
	slices.SortStableFunc(routes, func(a, b route) int {
		if d := len(b.path) - len(a.path); d != 0 {
			return d
		}
		switch {
		case a.exact == b.exact:
			return 0
		case a.exact:
			return -1
		}
		return 1
	})
}

// parent takes the first label off: a wildcard stands for exactly one.
func parent(host string) string {
	_, rest, found := strings.Cut(host, ".")
	if !found || rest == "" {
		return "\x00" // never a key
	}
	return rest
}

// matchable resolves dot segments and doubled slashes, so that /a/../b is routed as what the pod will make of it.
func matchable(path string) string {
	if path == "" {
		return "/"
	}
	if !strings.Contains(path, "/.") && !strings.Contains(path, "//") {
		return path
	}
	var kept []string
	elements := strings.Split(path, "/")
	for _, element := range elements {
		switch element {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, element)
		}
	}
	clean := "/" + strings.Join(kept, "/")
	if last := elements[len(elements)-1]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

// canonicalHost brings a Host header or an SNI name into the form that Ingresses use: lower case, no port, no final dot, IDN
// labels in their ASCII form.
func canonicalHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		return ascii
	}
	return host
}

// readableHost is the opposite, for people.
func readableHost(host string) string {
	if unicode, err := idna.Display.ToUnicode(host); err == nil && unicode != host {
		return unicode + " (" + host + ")"
	}
	return host
}
