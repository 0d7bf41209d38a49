package artifact

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// ServeHTTP serves the tarballs at /<kind>/<namespace>/<name>/<file>.tar.gz. Only what the store has recorded is
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
	f, err := os.Open(filepath.Join(filepath.Dir(found.Dir), "tarball"))
	if err != nil {
		http.Error(w, "no such artifact", http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("ETag", `"`+found.Digest+`"`)
	http.ServeContent(w, req, "", found.UpdatedAt, f)
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
