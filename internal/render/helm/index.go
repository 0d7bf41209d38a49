package helm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/repo/v1"
	"sigs.k8s.io/yaml"
)

// IndexFile is the index of a repository on disk, of which only the places of the charts are kept in memory. A whole
// index, decoded, takes twenty times its size.
type IndexFile struct {
	path   string
	isJSON bool
	charts map[string]span
}

// span is a part of a file.
type span struct{ start, end int64 }

var errNotIndex = errors.New("it is not the index of a Helm repository")

// OpenIndex finds the charts in an index, in YAML or JSON. What the index says about them is looked at by Versions only.
func OpenIndex(path string) (*IndexFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening an index: %w", err)
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 64<<10)
	index := &IndexFile{path: path, charts: map[string]span{}}
	if first, err := firstByte(reader); err == nil && first == '{' {
		index.isJSON = true
		return index, index.scanJSON(reader)
	}
	return index, index.scanYAML(reader)
}

func firstByte(reader *bufio.Reader) (byte, error) {
	for n := 1; ; n++ {
		peeked, err := reader.Peek(n)
		if err != nil {
			return 0, err
		}
		if c := peeked[n-1]; !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, nil
		}
	}
}

// Charts returns the names of the charts, sorted.
func (f *IndexFile) Charts() []string { return slices.Sorted(maps.Keys(f.charts)) }

// indexEntry is what is needed of a version in an index.
type indexEntry struct {
	Version string    `json:"version"`
	URLs    []string  `json:"urls"`
	Digest  string    `json:"digest"`
	Created time.Time `json:"created"`
}

// Versions returns the versions of a chart in the order of the index, none when there is no such chart. base is the
// address of the repository.
func (f *IndexFile) Versions(base, chart string) ([]Version, error) {
	at, ok := f.charts[chart]
	if !ok {
		return nil, nil
	}
	entries, err := f.entries(at)
	if err != nil {
		return nil, fmt.Errorf("reading the entries of chart %s: %w", chart, err)
	}
	var versions []Version
	for _, entry := range entries {
		if entry == nil || entry.Version == "" || len(entry.URLs) == 0 {
			continue
		}
		address, err := repo.ResolveReferenceURL(base, entry.URLs[0])
		if err != nil {
			continue
		}
		versions = append(versions, Version{
			Name: chart, Version: entry.Version, URL: address, Digest: strings.TrimPrefix(entry.Digest, "sha256:"), Created: entry.Created,
		})
	}
	return versions, nil
}

func (f *IndexFile) entries(at span) ([]*indexEntry, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data := make([]byte, at.end-at.start)
	if _, err := file.ReadAt(data, at.start); err != nil {
		return nil, err
	}
	if f.isJSON {
		var entries []*indexEntry
		err := json.Unmarshal(bytes.TrimLeft(data, " \t\r\n:"), &entries)
		return entries, err
	}
	// The span is a mapping of its own, from the name to the versions.
	var one map[string][]*indexEntry
	if err := yaml.Unmarshal(data, &one); err != nil {
		return nil, err
	}
	for _, entries := range one {
		return entries, nil
	}
	return nil, nil
}

func (f *IndexFile) scanJSON(reader io.Reader) error {
	decoder := json.NewDecoder(reader)
	hasVersion := false
	err := eachKey(decoder, func(key string) error {
		switch key {
		case "entries":
			return eachKey(decoder, func(chart string) error {
				start := decoder.InputOffset()
				var skipped json.RawMessage
				err := decoder.Decode(&skipped)
				f.charts[chart] = span{start, decoder.InputOffset()}
				return err
			})
		case "apiVersion":
			var version string
			err := decoder.Decode(&version)
			hasVersion = version != ""
			return err
		}
		var skipped json.RawMessage
		return decoder.Decode(&skipped)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errNotIndex, err)
	}
	if !hasVersion {
		return fmt.Errorf("%w: it has no apiVersion", errNotIndex)
	}
	return nil
}

// eachKey calls value after every key of the object that comes next; value reads what belongs to the key.
func eachKey(decoder *json.Decoder, value func(key string) error) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	if token == nil {
		return nil
	}
	if token != json.Delim('{') {
		return errors.New("an object is missing")
	}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if err := value(key); err != nil {
			return err
		}
	}
	_, err = decoder.Token()
	return err
}
