package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// fakeReleases runs registry.example/app with the tag DOCKER_TAG, beside something that does not change.
type fakeReleases struct {
	err      error
	rendered int
}

func (f *fakeReleases) Images(_ context.Context, obj *packv1.Pack) ([]Use, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.rendered++
	var tag string
	_ = json.Unmarshal(obj.Spec.Vars["DOCKER_TAG"].Raw, &tag)
	return []Use{{Reference: "registry.example/app:" + tag}, {Reference: "registry.example/sidecar:1"}}, nil
}

// fakeTags has every tag that does not begin with no-; err is of a registry that does not answer.
type fakeTags struct {
	err   error
	asked []string
}

func (f *fakeTags) Digest(_ context.Context, namespace string, use Use) (string, error) {
	f.asked = append(f.asked, namespace+" "+use.Reference)
	if f.err != nil {
		return "", f.err
	}
	if strings.Contains(use.Reference, ":no-") {
		return "", &AbsentError{fmt.Errorf("the registry answered 404")}
	}
	return "sha256:" + strings.Repeat("a", 64), nil
}

// fakeGit is a repository that a Pack lives in, when vars is not nil.
type fakeGit struct {
	mu      sync.Mutex
	vars    map[string]json.RawMessage
	commits []Commit
	keys    map[string]string
	synced  int
	err     error
}

func (f *fakeGit) Locate(_ context.Context, obj *packv1.Pack, _ map[string]json.RawMessage) (*Place, error) {
	if f.vars == nil {
		return nil, nil
	}
	return &Place{Repository: "https://git.example/app", Branch: "main", Path: "packs/web.yaml", Pack: obj}, nil
}

func (f *fakeGit) Preview(_ context.Context, _ *Place, vars map[string]json.RawMessage) ([]string, error) {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		lines = append(lines, fmt.Sprintf("+  %s: %s", name, vars[name]))
	}
	return lines, f.err
}

func (f *fakeGit) Commit(_ context.Context, _ *Place, c Commit) (Committed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return Committed{}, f.err
	}
	if earlier, ok := f.keys[c.Key]; ok && c.Key != "" {
		return Committed{Commit: earlier}, nil
	}
	unchanged := true
	for name, value := range c.Vars {
		unchanged = unchanged && string(f.vars[name]) == string(value)
	}
	if unchanged {
		return Committed{Commit: "c0", Unchanged: true}, nil
	}
	maps.Copy(f.vars, c.Vars)
	f.commits = append(f.commits, c)
	name := fmt.Sprintf("c%d", len(f.commits))
	if f.keys == nil {
		f.keys = map[string]string{}
	}
	f.keys[c.Key] = name
	return Committed{Commit: name}, nil
}

func (f *fakeGit) Sync(*Place) { f.synced++ }
