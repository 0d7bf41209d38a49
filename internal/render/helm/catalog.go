package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Key names a repository: its kind, its namespace (empty for a cluster-wide one) and its name.
type Key struct{ Kind, Namespace, Name string }

// String returns Kind/name or Kind/namespace/name.
func (k Key) String() string {
	return strings.ReplaceAll(fmt.Sprintf("%s/%s/%s", k.Kind, k.Namespace, k.Name), "//", "/")
}

// Catalog is what all repositories offer, shared by everybody in the process. It is safe for concurrent use.
type Catalog struct {
	store *Store

	mu        sync.Mutex
	shelves   map[Key]*shelf
	listeners map[int]func(Key)
	next      int
}

// shelf is one repository and what it was found to offer last.
type shelf struct {
	repository Repository
	index      *Index          // the last good one; nil before the first
	asked      map[string]bool // charts of a registry that somebody wants
	problem    string
}

// NewCatalog returns an empty Catalog.
func NewCatalog(store *Store) *Catalog {
	return &Catalog{store: store, shelves: map[Key]*shelf{}, listeners: map[int]func(Key){}}
}

// Refresh reads the repository's index. An index that was good stays in use while a newer one cannot be read.
func (c *Catalog) Refresh(ctx context.Context, key Key, r Repository) (*Index, error) {
	c.mu.Lock()
	s := c.shelf(key)
	if s.repository.URL != r.URL {
		s.index = nil
	}
	s.repository = r
	previous, asked := s.index, slices.Sorted(maps.Keys(s.asked))
	c.mu.Unlock()

	index, err := c.store.Index(ctx, r, asked, previous)

	if err != nil {
		c.Fail(key, err)
		return nil, err
	}
	c.mu.Lock()
	changed := index != previous || s.problem != ""
	s.index, s.problem = index, ""
	c.mu.Unlock()
	if changed {
		c.publish(key)
	}
	return index, nil
}

// Fail tells those who want the repository why it cannot be read. Its last good index stays in use.
func (c *Catalog) Fail(key Key, problem error) {
	c.mu.Lock()
	s := c.shelf(key)
	changed := s.problem != problem.Error()
	s.problem = problem.Error()
	c.mu.Unlock()
	if changed {
		c.publish(key)
	}
}

// shelf returns the shelf of key, made when there is none. The lock is held.
func (c *Catalog) shelf(key Key) *shelf {
	s := c.shelves[key]
	if s == nil {
		s = &shelf{asked: map[string]bool{}}
		c.shelves[key] = s
	}
	return s
}

// Drop forgets a repository.
func (c *Catalog) Drop(key Key) {
	c.mu.Lock()
	_, known := c.shelves[key]
	delete(c.shelves, key)
	c.mu.Unlock()
	if known {
		c.publish(key)
	}
}

// Subscribe calls f whenever a repository offers something else, or cannot be read any more, or can again. The returned
// function ends that. F must not call the Catalog.
func (c *Catalog) Subscribe(f func(Key)) (cancel func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.listeners[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, id)
	}
}

func (c *Catalog) publish(key Key) {
	c.mu.Lock()
	listeners := slices.Collect(maps.Values(c.listeners))
	c.mu.Unlock()
	for _, f := range listeners {
		f(key)
	}
}

// UnreadError says that nothing is known of a repository yet.
type UnreadError struct {
	Key Key
	// Problem is why it cannot be read; empty when it was not tried yet.
	Problem string
}

// Error names the repository and its problem.
func (e *UnreadError) Error() string {
	if e.Problem == "" {
		return fmt.Sprintf("%s was not read yet", e.Key)
	}
	return fmt.Sprintf("%s cannot be read: %s", e.Key, e.Problem)
}

// Versions returns the versions of a chart in a repository, none when it has no such chart. It returns an UnreadError
// when nothing is known of the repository. A registry is asked for the chart when nobody wanted it before.
func (c *Catalog) Versions(ctx context.Context, key Key, chart string) ([]string, error) {
	c.mu.Lock()
	s := c.shelves[key]
	if s == nil || s.index == nil {
		defer c.mu.Unlock()
		e := &UnreadError{Key: key}
		if s != nil {
			e.Problem = s.problem
		}
		return nil, e
	}
	ask := strings.HasPrefix(s.repository.URL, "oci://") && !s.asked[chart]
	s.asked[chart] = true
	repository, index := s.repository, s.index
	c.mu.Unlock()
	if !ask {
		return index.Versions(chart), nil
	}
	index, err := c.Refresh(ctx, key, repository)
	if err != nil {
		c.mu.Lock()
		delete(s.asked, chart)
		c.mu.Unlock()
		return nil, &UnreadError{Key: key, Problem: err.Error()}
	}
	return index.Versions(chart), nil
}

// Holding returns the cluster-wide repositories that are known to hold a chart, the preferred one first, the others by
// name.
func (c *Catalog) Holding(kind, chart, preferred string) []Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []Key
	for key, s := range c.shelves {
		if key.Kind == kind && s.index != nil && len(s.index.Charts[chart]) > 0 {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if (a.Name == preferred) != (b.Name == preferred) {
			if a.Name == preferred {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return keys
}

// Charts returns the names of the charts that a repository is known to hold, sorted.
func (c *Catalog) Charts(key Key) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shelves[key]
	if s == nil || s.index == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.index.Charts))
}

// Unread returns the repositories of a kind that nothing is known of yet, by name.
func (c *Catalog) Unread(kind string) []Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []Key
	for key, s := range c.shelves {
		if key.Kind == kind && s.index == nil {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	return keys
}

// Chart returns a version of a chart of a repository, downloading it unless it is kept already.
func (c *Catalog) Chart(ctx context.Context, key Key, chart, version string) (*Chart, error) {
	c.mu.Lock()
	s := c.shelves[key]
	if s == nil || s.index == nil {
		c.mu.Unlock()
		return nil, &UnreadError{Key: key}
	}
	repository, index := s.repository, s.index
	c.mu.Unlock()
	v, ok := index.Find(chart, version)
	if !ok {
		return nil, fmt.Errorf("%s has no version %s of chart %s", key, version, chart)
	}
	return c.store.Chart(ctx, repository, v)
}
