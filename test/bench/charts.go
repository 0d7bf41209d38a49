package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// chartServer is a Helm repository of one chart, in memory, on loopback.
type chartServer struct {
	url    string
	server *http.Server

	mu    sync.Mutex
	files map[string][]byte
}

const chartName = "app"

func startCharts(ctx context.Context) (*chartServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for charts: %w", err)
	}
	s := &chartServer{url: "http://" + listener.Addr().String(), files: map[string][]byte{}}
	s.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: s}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *chartServer) stop() error { return s.server.Close() }

// ServeHTTP implements http.Handler.
func (s *chartServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	data, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

// publish makes the chart of a version the only one that the repository has.
func (s *chartServer) publish(version string) error {
	templates := strings.NewReplacer("${name}", "{{ .Release.Name }}", "VERSION", "v{{ .Chart.Version }}").Replace(application)
	about := fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", chartName, version)
	archive, err := tarball(map[string]string{
		chartName + "/Chart.yaml": about, chartName + "/values.yaml": "{}\n", chartName + "/templates/app.yaml": templates,
	})
	if err != nil {
		return err
	}
	file := chartName + "-" + version + ".tgz"
	index := fmt.Sprintf("apiVersion: v1\nentries:\n  %s:\n    - {apiVersion: v2, name: %s, version: %s, digest: %x, urls: [%s/%s]}\n",
		chartName, chartName, version, sha256.Sum256(archive), s.url, file)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = map[string][]byte{"index.yaml": []byte(index), file: archive}
	return nil
}
