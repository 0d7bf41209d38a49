package helm

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCatalog(t *testing.T) {
	store := newStore(t, builtin("1.0.0", "x"))
	catalog := NewCatalog(store)
	var heard []string
	cancel := catalog.Subscribe(func(k Key) { heard = append(heard, k.String()) })
	good := Repository{URL: "builtin://shop"}
	key := Key{Kind: "ClusterPackRepository", Name: "shop"}

	var unread *UnreadError
	if _, err := catalog.Versions(t.Context(), key, "web"); !errors.As(err, &unread) || unread.Problem != "" {
		t.Errorf("before the first read: %v", err)
	}
	if _, err := catalog.Refresh(t.Context(), key, Repository{URL: "builtin://nope"}); err == nil {
		t.Error("a repository that is not there was read")
	}
	if _, err := catalog.Versions(t.Context(), key, "web"); !errors.As(err, &unread) || unread.Problem == "" {
		t.Errorf("after a failure: %v", err)
	}
	for range 2 { // the second changes nothing, and so nobody is told
		if _, err := catalog.Refresh(t.Context(), key, good); err != nil {
			t.Fatal(err)
		}
	}
	catalog.Fail(key, errors.New("gone for now"))
	versions, err := catalog.Versions(t.Context(), key, "web")
	if diff := cmp.Diff([]string{"1.0.0"}, versions); err != nil || diff != "" {
		t.Errorf("the last good index: %v %s", err, diff)
	}
	catalog.Drop(key)
	if diff := cmp.Diff([]string{key.String(), key.String(), key.String(), key.String()}, heard); diff != "" {
		t.Errorf("told of failure, success, failure, drop (-want +got):\n%s", diff)
	}
	cancel()
	if _, err := catalog.Refresh(t.Context(), key, good); err != nil || len(heard) != 4 {
		t.Errorf("told after the end: %v, %v", heard, err)
	}
}

func TestCatalogHolding(t *testing.T) {
	catalog := NewCatalog(newStore(t, builtin("1.0.0", "x")))
	for _, name := range []string{"b", "kubit-paas", "a"} {
		key := Key{Kind: "ClusterPackRepository", Name: name}
		if _, err := catalog.Refresh(t.Context(), key, Repository{URL: "builtin://shop"}); err != nil {
			t.Fatal(err)
		}
	}
	own := Key{Kind: "PackRepository", Namespace: "x", Name: "own"}
	if _, err := catalog.Refresh(t.Context(), own, Repository{URL: "builtin://shop"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, key := range catalog.Holding("ClusterPackRepository", "web", "kubit-paas") {
		names = append(names, key.Name)
	}
	if diff := cmp.Diff([]string{"kubit-paas", "a", "b"}, names); diff != "" {
		t.Errorf("holding (-want +got):\n%s", diff)
	}
	if keys := catalog.Holding("ClusterPackRepository", "nope", "kubit-paas"); len(keys) != 0 {
		t.Errorf("a chart that nobody has is held by %v", keys)
	}
}
