package hooks

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// wishes are what a call says in the query of its URL.
type wishes struct {
	dryRun, wait bool
	// stream is how the rollout is told while it goes on; streamNone tells the end only.
	stream  stream
	timeout time.Duration
}

type stream string

const (
	streamNone stream = ""
	streamText stream = "text"
	streamSSE  stream = "sse"
)

// How long a call waits for the rollout when it does not say, and at most.
const (
	defaultWait = 10 * time.Minute
	longestWait = time.Hour
)

// readWishes reads the query. What it does not know it refuses, for a misspelt dry-run would be a deployment.
func readWishes(r *http.Request) (wishes, error) {
	w := wishes{timeout: defaultWait}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return w, refuse(http.StatusBadRequest, "the query of the URL cannot be read", "use ?wait=ready or ?dry-run")
	}
	for name, values := range query {
		value := values[0]
		switch name {
		case "dry-run", "dryRun":
			w.dryRun, err = readDryRun(value)
		case "wait":
			w.wait, err = readWait(value)
		case "stream":
			w.stream, err = readStream(value)
		case "timeout":
			w.timeout, err = readTimeout(value)
		default:
			err = refuse(http.StatusBadRequest, fmt.Sprintf("the query has %q, which is not known", name), "use wait, stream, timeout or dry-run; vars belong into the body")
		}
		if err != nil {
			return w, err
		}
	}
	if w.wait && w.stream == streamNone && strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		w.stream = streamSSE
	}
	return w, nil
}

func readDryRun(value string) (bool, error) {
	switch {
	case slices.Contains([]string{"", "true", "1", "server", "All"}, value):
		return true, nil
	case slices.Contains([]string{"false", "0", "none"}, value):
		return false, nil
	}
	return false, refuse(http.StatusBadRequest, fmt.Sprintf("dry-run=%s is not understood", value), "use ?dry-run")
}

func readWait(value string) (bool, error) {
	switch value {
	case "ready", "true", "":
		return true, nil
	case "false", "none":
		return false, nil
	}
	return false, refuse(http.StatusBadRequest, fmt.Sprintf("wait=%s is not understood", value), "use ?wait=ready")
}

func readStream(value string) (stream, error) {
	switch s := stream(value); s {
	case streamText, streamSSE:
		return s, nil
	}
	return streamNone, refuse(http.StatusBadRequest, fmt.Sprintf("stream=%s is not understood", value), "use stream=text or stream=sse")
}

func readTimeout(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 || d > longestWait {
		return 0, refuse(http.StatusBadRequest, fmt.Sprintf("timeout=%s is not a time to wait", value), "use a time such as 5m, at most "+longestWait.String())
	}
	return d, nil
}
