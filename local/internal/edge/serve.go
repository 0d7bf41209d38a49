package edge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxNamesShown bounds the known hosts that the page of an unknown one lists.
const maxNamesShown = 20

// ServeHTTP finds the request's backend and passes it on.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	recorder := &recorder{ResponseWriter: w}
	t := &target{}
	// A broken stream ends the handler with a panic that the server expects; the request is logged all the same.
	defer func() {
		e.log.DebugContext(r.Context(), "request served", "method", r.Method, "host", r.Host, "path", r.URL.Path,
			"status", recorder.status, "bytes", recorder.bytes, "duration", time.Since(started), "endpoint", t.endpoint)
	}()
	e.route(recorder, r, t)
}

func (e *Edge) route(w http.ResponseWriter, r *http.Request, t *target) {
	table := e.table.Load()
	host := canonicalHost(r.Host)
	switch {
	case r.Method == http.MethodConnect:
		page(w, http.StatusMethodNotAllowed, "The edge is no forward proxy: send requests with the address of a service.")
		return
	case table == nil:
		w.Header().Set("Retry-After", "1")
		page(w, http.StatusServiceUnavailable, "The edge is starting and has not read the cluster's Ingresses yet: try again in a moment.")
		return
	}
	found, hostKnown := table.find(host, r.URL.Path)
	switch {
	case found == nil && hostKnown:
		page(w, http.StatusNotFound, fmt.Sprintf("No Ingress has a path for %s on host %s: see `kubectl get ingress -A` and check spec.rules.", r.URL.Path, readableHost(host)))
	case found == nil:
		page(w, http.StatusNotFound, unknownHost(host, table.names))
	case found.problem != "":
		t.backend = found
		page(w, http.StatusServiceUnavailable, fmt.Sprintf("Host %s: %s.", readableHost(host), found.problem))
	default:
		t.backend = found
		e.proxy.ServeHTTP(w, outgoing(r, t))
	}
}

func unknownHost(host string, names []string) string {
	text := fmt.Sprintf("No Ingress has host %s: see `kubectl get ingress -A`, and check spec.rules and spec.ingressClassName.", readableHost(host))
	if len(names) == 0 {
		return text
	}
	more := ""
	if len(names) > maxNamesShown {
		names, more = names[:maxNamesShown], ", ..."
	}
	return text + "\nHosts served here: " + strings.Join(names, ", ") + more + "."
}

// serveUnreachable is the proxy's error handler.
func serveUnreachable(w http.ResponseWriter, r *http.Request, err error) {
	t, ok := r.Context().Value(targetKey{}).(*target)
	if !ok || errors.Is(err, context.Canceled) {
		// Nobody reads this; the status is for the log (499 is the customary one for a client that went away).
		w.WriteHeader(499)
		return
	}
	status, what := http.StatusBadGateway, "does not answer"
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		status, what = http.StatusGatewayTimeout, "does not answer in time"
	}
	b := t.backend
	page(w, status, fmt.Sprintf(
		"Host %s: service %s port %s in namespace %s %s: %v.\nCheck that the container listens on that port on all addresses and runs: `kubectl -n %s get pods -o wide` and `kubectl -n %s logs`.",
		readableHost(canonicalHost(r.Host)), b.service, b.port, b.namespace, what, err, b.namespace, b.namespace))
}

// page answers with a short text that says what is wrong.
func page(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%d %s\n%s\n", status, http.StatusText(status), text)
}

// recorder notes what was answered. Unwrap lets the proxy flush and take connections over.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter. An informational answer is not the final one.
func (r *recorder) WriteHeader(status int) {
	if r.status < http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status < http.StatusOK {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
