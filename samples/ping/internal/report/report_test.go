package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/peyk/peyk/samples/ping/internal/metrics"
	"github.com/peyk/peyk/samples/ping/internal/report"
	"github.com/peyk/peyk/samples/ping/internal/testkit"
)

func TestScrubber(t *testing.T) {
	scrubber := report.NewScrubber("s3cret", "redis://:s3cret@h:1/", "", "abc")
	cases := map[string]struct{ text, want string }{
		"nothing to hide":      {"dial tcp 10.0.0.1:5432: connection refused", "dial tcp 10.0.0.1:5432: connection refused"},
		"a known secret":       {"AUTH s3cret failed", "AUTH [hidden] failed"},
		"a whole address":      {"dialling redis://:s3cret@h:1/", "dialling [hidden]"},
		"an unknown address":   {"GET https://user:other@host/x", "GET https://[hidden]@host/x"},
		"a key in an address":  {"POST https://key@sentry/1", "POST https://[hidden]@sentry/1"},
		"a form":               {"set it to postgres://USER:PASSWORD@HOST/DB", "set it to postgres://USER:PASSWORD@HOST/DB"},
		"too short to replace": {"abc", "abc"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, scrubber.String(c.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportReachesLogMetricsAndSentryWithoutSecrets(t *testing.T) {
	sentry := testkit.StartSentry(t)
	var log bytes.Buffer
	scrubber := report.NewScrubber("s3cret")
	m := metrics.New("test")
	reporter, err := report.New(sentry.DSN, "1a2b3c4", scrubber, report.NewLogger(&log, scrubber), m)
	if err != nil {
		t.Fatal(err)
	}
	ctx := report.WithRequestID(context.Background(), "request-7")
	cause := errors.New("password s3cret refused")
	reporter.Report(ctx, "redis", fmt.Errorf("reading from redis://:other@h:1/: %w", cause))
	reporter.Close(5 * time.Second)

	sentry.Await(t, "reading from redis://[hidden]@h:1/: password [hidden] refused", "request-7", "ping@1a2b3c4", `"dependency":"redis"`)
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("reading the log: %v", err)
	}
	delete(line, "time")
	want := map[string]any{"level": "ERROR", "msg": "dependency failed", "dependency": "redis", "request_id": "request-7",
		"error": "reading from redis://[hidden]@h:1/: password [hidden] refused"}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(sentry.All(), "s3cret") {
		t.Error("the secret reached Sentry")
	}
	if got := testutil.ToFloat64(m.DependencyErrors.WithLabelValues("redis")); got != 1 {
		t.Errorf("counted %v errors", got)
	}
}

func TestSentryThatCannotBeReachedIsNotedAndNotWaitedFor(t *testing.T) {
	var log bytes.Buffer
	scrubber := report.NewScrubber()
	m := metrics.New("test")
	dsn := fmt.Sprintf("http://key@127.0.0.1:%d/1", testkit.FreePort(t))
	reporter, err := report.New(dsn, "test", scrubber, report.NewLogger(&log, scrubber), m)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for range 500 {
		reporter.Report(context.Background(), "redis", errors.New("gone"))
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("500 reports took %s", took)
	}
	testkit.Eventually(t, "the failure is counted", func() error {
		if testutil.ToFloat64(m.DependencyErrors.WithLabelValues("sentry")) == 0 {
			return errors.New("not counted")
		}
		return nil
	})
	reporter.Close(time.Second)
	if !strings.Contains(log.String(), "sentry cannot be reached") {
		t.Error("the log does not say so")
	}
}
