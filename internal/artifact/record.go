package artifact

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// record is one artifact of an object, as it is kept on disk.
type record struct {
	Ref      Ref    `json:"ref"`
	Revision string `json:"revision"`
	Digest   string `json:"digest"`
	Size     int64  `json:"size"`
	// File is the name of an artifact that is one file, empty for a tree.
	File       string            `json:"file,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	UpdatedAt  time.Time         `json:"updatedAt"`
	Superseded time.Time         `json:"superseded,omitzero"`
}

// equal says whether other is the same artifact, whenever it was stored.
func (r record) equal(other record) bool {
	return r.Ref == other.Ref && r.Revision == other.Revision && r.Digest == other.Digest && r.File == other.File &&
		maps.Equal(r.Metadata, other.Metadata)
}

// recordFile is where the records of ref are kept.
func (s *Store) recordFile(ref Ref) string {
	return filepath.Join(s.dir, "records", filepath.FromSlash(ref.dir())+".json")
}

// saveRecords replaces the records of ref on disk, newest first, so that a reader or a restart sees the old list or the
// new one and never a part.
func (s *Store) saveRecords(ref Ref, records []record) error {
	name := s.recordFile(ref)
	if len(records) == 0 {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing the records of %s: %w", ref, err)
		}
		return nil
	}
	data, err := json.Marshal(records)
	if err != nil {
		return fmt.Errorf("encoding the records of %s: %w", ref, err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("making the folder for the records of %s: %w", ref, err)
	}
	temp, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "records-")
	if err != nil {
		return fmt.Errorf("writing the records of %s: %w", ref, err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("writing the records of %s: %w", ref, err)
	}
	return nil
}

// loadRecords reads what an earlier process kept. A file that cannot be read, and a record whose content is gone, count
// as absent: their source makes them again.
func (s *Store) loadRecords() error {
	root := filepath.Join(s.dir, "records")
	return filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		records, err := s.readRecords(name)
		if err != nil {
			s.log.Info("dropping unreadable artifact records", "file", name, "error", err.Error())
			return os.Remove(name)
		}
		if len(records) > 0 {
			s.records[records[0].Ref] = records
		}
		return nil
	})
}

func (s *Store) readRecords(name string) ([]record, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all, whole []record
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := r.Ref.check(); err != nil {
			return nil, err
		}
		if s.recordFile(r.Ref) != name {
			return nil, fmt.Errorf("it holds a record of %s", r.Ref)
		}
		if s.exists(r) {
			whole = append(whole, r)
		}
	}
	return whole, nil
}
