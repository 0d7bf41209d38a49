package artifact

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ServeHTTP serves the artifacts at /<kind>/<namespace>/<name>/<file>. Only what the store has recorded is
// found: no part of a request becomes a path on disk.
func (s *Store) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	found, ok := s.byPath(strings.TrimPrefix(req.URL.Path, "/"))
	if !ok {
		http.Error(w, "no such artifact", http.StatusNotFound)
		return
	}
	name, contentType := found.served()
	f, err := os.Open(name)
	if err != nil {
		http.Error(w, "no such artifact", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("ETag", `"`+found.Digest+`"`)
	http.ServeContent(w, req, "", found.UpdatedAt, f)
}

// served returns the file that is sent, and what it is.
func (a *Artifact) served() (name, contentType string) {
	if a.File == "" {
		return filepath.Join(filepath.Dir(a.Dir), "tarball"), "application/gzip"
	}
	switch path.Ext(a.Path) {
	case ".tgz", ".gz":
		return a.File, "application/gzip"
	case ".yaml", ".yml":
		return a.File, "application/yaml"
	case ".json":
		return a.File, "application/json"
	}
	return a.File, "application/octet-stream"
}

func (s *Store) byPath(path string) (*Artifact, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for ref, records := range s.records {
		if !strings.HasPrefix(path, ref.dir()+"/") {
			continue
		}
		for _, r := range records {
			if a := s.artifact(r); a.Path == path {
				return a, true
			}
		}
	}
	return nil, false
}
