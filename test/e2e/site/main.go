// Command site is a web server inside the cluster for the tests: it serves the files that are put into it, and keeps what
// is posted to it until it is read.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"sync"
	"time"
)

// letter is a request that was posted.
type letter struct {
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// site holds everything in memory.
type site struct {
	mu      sync.Mutex
	files   map[string][]byte
	letters map[string][]letter
}

// ServeHTTP serves a path as a file, or, when it is posted to, as a letter box that GET lists with ?letters.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPut:
		s.files[r.URL.Path] = body
	case r.Method == http.MethodPost:
		s.letters[r.URL.Path] = append(s.letters[r.URL.Path], letter{r.Header, string(body)})
	case r.URL.Query().Has("letters"):
		_ = json.NewEncoder(w).Encode(s.letters[r.URL.Path]) // a reader that went away gets nothing
	case s.files[r.URL.Path] == nil:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(s.files[r.URL.Path]) // as above
	}
}

func main() {
	server := &http.Server{
		Addr: ":8080", ReadHeaderTimeout: 10 * time.Second,
		Handler: &site{files: map[string][]byte{}, letters: map[string][]letter{}},
	}
	log.Fatal(server.ListenAndServe())
}
