package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// call is a kind of request to the API server.
type call struct {
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	DryRun   bool   `json:"dryRun,omitempty"`
}

// calls counts requests.
type calls map[call]int

// minus returns what c has more than other.
func (c calls) minus(other calls) calls {
	left := calls{}
	for k, n := range c {
		if n -= other[k]; n > 0 {
			left[k] = n
		}
	}
	return left
}

// total counts the requests for some resources and their subresources, or for all when none is given.
func (c calls) total(resources ...string) int {
	sum := 0
	for k, n := range c {
		resource, _, _ := strings.Cut(k.Resource, "/")
		if len(resources) == 0 || slices.Contains(resources, resource) {
			sum += n
		}
	}
	return sum
}

func (c calls) sorted() []call {
	return slices.SortedFunc(maps.Keys(c), func(a, b call) int {
		if d := c[b] - c[a]; d != 0 {
			return d
		}
		return strings.Compare(a.Verb+a.Resource, b.Verb+b.Resource)
	})
}

// served returns what the API server counted since its start, without watches and without what is no resource.
func (c *cluster) served(ctx context.Context) (calls, error) {
	body, err := c.raw.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	all := calls{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "apiserver_request_total{")
		if !ok {
			continue
		}
		text, value, _ := strings.Cut(rest, "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the API server's metrics: %w", err)
		}
		labels := labelsOf(text)
		if labels["resource"] == "" || labels["verb"] == "WATCH" {
			continue
		}
		k := call{Verb: labels["verb"], Resource: labels["resource"], DryRun: labels["dry_run"] != ""}
		if sub := labels["subresource"]; sub != "" {
			k.Resource += "/" + sub
		}
		all[k] += int(n)
	}
	return all, lines.Err()
}

// labelsOf reads the labels of a metric; none of those that matter has a quote or a comma in its value.
func labelsOf(text string) map[string]string {
	labels := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(pair, "=")
		labels[name] = strings.Trim(value, `"`)
	}
	return labels
}

// sent counts what this program asks of the API server, so that it can be taken off.
type sent struct {
	info *request.RequestInfoFactory

	mu    sync.Mutex
	calls calls
}

func newSent() *sent {
	return &sent{
		info:  &request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")},
		calls: calls{},
	}
}

func (s *sent) snapshot() calls {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *sent) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		s.count(r)
		return next.RoundTrip(r)
	})
}

// verbs as the API server's metrics name them.
var verbs = map[string]string{
	"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "get": "GET", "list": "LIST",
}

func (s *sent) count(r *http.Request) {
	info, err := s.info.NewRequestInfo(r)
	if err != nil || !info.IsResourceRequest || info.Verb == "watch" {
		return
	}
	k := call{Verb: verbs[info.Verb], Resource: info.Resource, DryRun: r.URL.Query().Has("dryRun")}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") {
		k.Verb = "APPLY"
	}
	if info.Subresource != "" {
		k.Resource += "/" + info.Subresource
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[k]++
}

// quiet waits until the cluster's own controllers have caught up.
func (c *cluster) quiet(ctx context.Context) error {
	const window, few, limit = 500 * time.Millisecond, 12, 5 * time.Minute
	last := -1
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		now, err := c.served(ctx)
		if err != nil {
			return err
		}
		total := now.total()
		if last >= 0 && total-last <= few {
			return nil
		}
		last = total
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the cluster to become quiet: %w", ctx.Err())
		case <-time.After(window):
		}
	}
}
