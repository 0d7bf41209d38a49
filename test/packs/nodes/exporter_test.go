package nodes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestExporters asks the exporters beside single databases whether they reach their server.
func TestExporters(t *testing.T) {
	for _, c := range []struct{ name, spec, metric string }{
		{"postgres-metrics", "chart: {name: postgres}\nvalues: {metrics: {enabled: true, image: {tag: v0.11.1}}}", "pg_up 1"},
		{"redis-metrics", "chart: {name: redis}\nvalues: {metrics: {enabled: true, image: {tag: v1.45.0}}}", "redis_up 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pack := install(t, c.name, c.spec)
			defer remove(t, pack)
			running(t, c.name)
			eventually(t, time.Minute, "metrics", func() error {
				out, err := kubectl("get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/services/%s:metrics/proxy/metrics", c.name, c.name))
				if err != nil {
					return err
				}
				if !strings.Contains(out, "\n"+c.metric+"\n") {
					return fmt.Errorf("there is no line %q in:\n%s", c.metric, out)
				}
				return nil
			})
		})
	}
}
