// Package report is where every error goes: to the log, to the metrics and to Sentry, with credentials taken out. It is
// the home of sentry-go.
package report

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/getsentry/sentry-go"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
)

// sendTimeout bounds each step of a delivery: dialling, the TLS handshake, waiting for the response.
const sendTimeout = 5 * time.Second

// Reporter implements ping.Reporter.
type Reporter struct {
	client  *sentry.Client
	logger  *slog.Logger
	metrics *metrics.Metrics
}

// New returns a Reporter that sends to the Sentry project of dsn. It never waits for Sentry: a server that cannot be
// reached costs a line in the log.
func New(dsn, version string, scrubber *Scrubber, logger *slog.Logger, m *metrics.Metrics) (*Reporter, error) {
	client, err := sentry.NewClient(sentry.ClientOptions{
		Dsn:     dsn,
		Release: "ping@" + version,
		// The failing line is what a developer looks for first.
		AttachStacktrace: true,
		BeforeSend: func(event *sentry.Event, _ *sentry.EventHint) *sentry.Event {
			scrubber.event(event)
			return event
		},
		HTTPTransport: &delivery{next: transport(), logger: logger, metrics: m},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing Sentry: %s", scrubber.String(err.Error()))
	}
	return &Reporter{client: client, logger: logger, metrics: m}, nil
}

// Report implements ping.Reporter. It does not block.
func (r *Reporter) Report(ctx context.Context, dependency string, err error) {
	r.logger.ErrorContext(ctx, "dependency failed", "dependency", dependency, "error", err)
	r.metrics.DependencyErrors.WithLabelValues(dependency).Inc()
	scope := sentry.NewScope()
	scope.SetTag("dependency", dependency)
	if id := RequestID(ctx); id != "" {
		scope.SetTag("request_id", id)
	}
	r.client.CaptureException(err, &sentry.EventHint{Context: ctx, OriginalException: err}, scope)
}

// Close delivers what is waiting, for at most the given time.
func (r *Reporter) Close(wait time.Duration) {
	r.client.Flush(wait)
	r.client.Close()
}

func transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: sendTimeout}).DialContext,
		TLSHandshakeTimeout:   sendTimeout,
		ResponseHeaderTimeout: sendTimeout,
		ForceAttemptHTTP2:     true,
		IdleConnTimeout:       time.Minute,
	}
}

// delivery notes in the log and the metrics when Sentry does not take an event: sentry-go itself says nothing.
type delivery struct {
	next    http.RoundTripper
	logger  *slog.Logger
	metrics *metrics.Metrics
}

// RoundTrip implements http.RoundTripper.
func (d *delivery) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := d.next.RoundTrip(request)
	switch {
	case err != nil:
		d.metrics.DependencyErrors.WithLabelValues("sentry").Inc()
		d.logger.Warn("sentry cannot be reached", "error", err)
	case response.StatusCode >= http.StatusBadRequest:
		d.metrics.DependencyErrors.WithLabelValues("sentry").Inc()
		d.logger.Warn("sentry refused an event", "status", response.StatusCode)
	}
	return response, err
}
