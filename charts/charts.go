// Package charts holds the charts that ship inside Peyk.
package charts

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed all:simplepack all:postgres all:redis all:genpack all:postgresql-ha all:redis-ha all:cloudnative-pg all:alerting
var embedded embed.FS

// Repositories returns the built-in repositories: name of the repository to name of the chart to the chart's folder.
func Repositories() (map[string]map[string]fs.FS, error) {
	contents := map[string][]string{
		"kubit-paas":  {"simplepack", "postgres", "redis"},
		"kubit-packs": {"genpack", "postgresql-ha", "redis-ha", "cloudnative-pg", "alerting"},
	}
	repositories := map[string]map[string]fs.FS{}
	for repository, names := range contents {
		repositories[repository] = map[string]fs.FS{}
		for _, name := range names {
			chart, err := fs.Sub(embedded, name)
			if err != nil {
				return nil, fmt.Errorf("opening the built-in chart %s: %w", name, err)
			}
			repositories[repository][name] = chart
		}
	}
	return repositories, nil
}
