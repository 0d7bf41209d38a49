package helmchart

import (
	"sync"

	"github.com/peyk/peyk/internal/render/helm"
)

// indexes keeps what is known of the indexes on disk, so that many charts of one repository read its index once.
type indexes struct {
	mu    sync.Mutex
	files map[string]*helm.IndexFile // by the path of the artifact, whose content never changes
}

// maxIndexes is how many are kept; then all are read anew.
const maxIndexes = 64

func newIndexes() *indexes { return &indexes{files: map[string]*helm.IndexFile{}} }

func (i *indexes) open(path string) (*helm.IndexFile, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if found := i.files[path]; found != nil {
		return found, nil
	}
	file, err := helm.OpenIndex(path)
	if err != nil {
		return nil, err
	}
	if len(i.files) >= maxIndexes {
		clear(i.files)
	}
	i.files[path] = file
	return file, nil
}
