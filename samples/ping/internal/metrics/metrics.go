// Package metrics declares what the service counts, in the Prometheus form.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the counters of one running service.
type Metrics struct {
	// Registry gathers all of them, with those of the Go runtime and the process.
	Registry *prometheus.Registry
	// Requests counts finished HTTP requests by route, method and status code.
	Requests *prometheus.CounterVec
	// Latency is the duration of HTTP requests in seconds, by route.
	Latency *prometheus.HistogramVec
	// CacheLookups counts lookups by result: hit, miss or error.
	CacheLookups *prometheus.CounterVec
	// Writes counts pings written to the database.
	Writes prometheus.Counter
	// DependencyErrors counts errors by dependency: postgres, redis, sentry, or ping for the service itself.
	DependencyErrors *prometheus.CounterVec
}

// New returns metrics in a registry of their own; version becomes a label of ping_build_info.
func New(version string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	factory := promauto.With(registry)
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ping_build_info", Help: "The version that is running.",
	}, []string{"version"}).WithLabelValues(version).Set(1)
	m := &Metrics{
		Registry: registry,
		Requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Finished HTTP requests.",
		}, []string{"route", "method", "code"}),
		Latency: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Duration of HTTP requests.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route"}),
		CacheLookups: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "ping_cache_lookups_total", Help: "Lookups in the cache by result.",
		}, []string{"result"}),
		Writes: factory.NewCounter(prometheus.CounterOpts{
			Name: "ping_writes_total", Help: "Pings written to the database.",
		}),
		DependencyErrors: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "ping_dependency_errors_total", Help: "Errors by dependency.",
		}, []string{"dependency"}),
	}
	for _, result := range []string{"hit", "miss", "error"} {
		m.CacheLookups.WithLabelValues(result)
	}
	for _, dependency := range []string{"postgres", "redis", "sentry", "ping"} {
		m.DependencyErrors.WithLabelValues(dependency)
	}
	return m
}
