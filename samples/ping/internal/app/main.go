// Package app puts the service together, runs it and takes it down in order.
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
	"github.com/peyk/peyk/samples/ping/internal/report"
	"github.com/peyk/peyk/samples/ping/internal/settings"
)

// Main runs the service until ctx is done and returns the exit code: 0 after an orderly end, 1 after an error. It reads
// its settings through getenv and writes its log to out. An empty version is taken from the build's VCS stamp.
func Main(ctx context.Context, getenv func(string) string, out io.Writer, version string) int {
	version = versionOf(version)
	configured, problem := settings.Load(getenv)
	scrubber := report.NewScrubber(configured.Secrets()...)
	logger := report.NewLogger(out, scrubber).With("version", version)
	m := metrics.New(version)

	var reporter *report.Reporter
	if configured.SentryDSN != "" {
		var err error
		if reporter, err = report.New(configured.SentryDSN, version, scrubber, logger, m); err != nil {
			logger.Error("error reports cannot be sent", "error", err)
			return 1
		}
		defer reporter.Close(flushTimeout)
	}
	if problem != nil {
		return refuse(ctx, logger, reporter, fmt.Errorf("checking the settings: %w", problem))
	}
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(configured.Port))
	if err != nil {
		return refuse(ctx, logger, reporter, fmt.Errorf("opening port %d (another one can be set by PORT): %w", configured.Port, err))
	}
	a, err := New(configured, version, reporter, logger, m)
	if err != nil {
		return refuse(ctx, logger, reporter, err)
	}
	if err := a.Run(ctx, listener, drainDelay); err != nil {
		return refuse(ctx, logger, reporter, err)
	}
	return 0
}

// refuse tells why the service ends. Without a usable SENTRY_DSN the log is the only place.
func refuse(ctx context.Context, logger *slog.Logger, reporter *report.Reporter, err error) int {
	if reporter == nil {
		logger.Error("the service cannot run", "error", err)
		return 1
	}
	reporter.Report(ctx, "ping", err)
	return 1
}

// versionOf returns the version set at build time, else the commit that the Go command stamped, else "dev".
func versionOf(version string) string {
	if version != "" {
		return version
	}
	const short = 8
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= short {
			return setting.Value[:short]
		}
	}
	return "dev"
}

const (
	// drainDelay gives load balancers the time to notice that the service is no longer ready.
	drainDelay = 3 * time.Second
	// shutdownTimeout bounds the wait for requests in flight; drainDelay, shutdownTimeout and flushTimeout together stay
	// under the 30 s that a kubelet waits by default.
	shutdownTimeout = 15 * time.Second
	flushTimeout    = 2 * time.Second
)
