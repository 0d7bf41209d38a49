package registry

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Names inside a repository's folder, which is an OCI image layout with a folder of uploads under way.
const (
	layoutFile = "oci-layout"
	indexFile  = "index.json"
	blobsDir   = "blobs"
	uploadDir  = "_uploads"
)

// walkRepositories calls visit with the path of each repository below dir. Repositories nest: a/b may exist beside a.
func walkRepositories(dir string, visit func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed by the collector meanwhile
		}
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			return nil
		}
		if name := entry.Name(); path != dir && (name == blobsDir || name == uploadDir) {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(path, layoutFile)); err == nil {
			return visit(path)
		}
		return nil
	})
}

// removeLeftovers deletes unfinished uploads and index files that were never renamed. It must run before the store opens.
func removeLeftovers(dir string) error {
	return walkRepositories(dir, func(path string) error {
		if err := os.RemoveAll(filepath.Join(path, uploadDir)); err != nil {
			return err
		}
		stale, err := filepath.Glob(filepath.Join(path, indexFile+".*"))
		if err != nil {
			return err
		}
		for _, name := range stale {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// serveCatalog lists repositories in order, paged by n and last as the distribution API has it.
func (r *Registry) serveCatalog(w http.ResponseWriter, req *http.Request) {
	names := []string{}
	err := walkRepositories(r.dir, func(path string) error {
		name, err := filepath.Rel(r.dir, path)
		if err == nil && name != "." {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		http.Error(w, "the registry folder cannot be read", http.StatusInternalServerError)
		return
	}
	sort.Strings(names)
	query := req.URL.Query()
	if last := query.Get("last"); last != "" {
		names = names[sort.Search(len(names), func(i int) bool { return strings.Compare(names[i], last) > 0 }):]
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n > 0 && len(names) > n {
		names = names[:n]
		next := url.URL{Path: req.URL.Path, RawQuery: url.Values{"n": {strconv.Itoa(n)}, "last": {names[n-1]}}.Encode()}
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that went away is the only way this can fail.
	_ = json.NewEncoder(w).Encode(map[string][]string{"repositories": names})
}
