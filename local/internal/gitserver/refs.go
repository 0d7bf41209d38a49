package gitserver

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// zeroID stands for "no commit" in a change that creates or deletes a ref.
const zeroID = "0000000000000000000000000000000000000000"

// change is one ref that a push created, moved or deleted.
type change struct{ ref, before, after string }

// refs returns the branches and tags of a repository with the objects they name.
func (s *Server) refs(ctx context.Context, name string) (map[string]string, error) {
	out, err := s.run(ctx, s.dir(name), "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, fmt.Errorf("reading refs of repository %s: %w", name, err)
	}
	refs := map[string]string{}
	for line := range strings.Lines(string(out)) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		refs[ref] = id
	}
	return refs, nil
}

// changes compares two states of the refs, in order of their names.
func changes(before, after map[string]string) []change {
	var found []change
	for ref, old := range before {
		switch now, still := after[ref]; {
		case !still:
			found = append(found, change{ref, old, zeroID})
		case now != old:
			found = append(found, change{ref, old, now})
		}
	}
	for ref, now := range after {
		if _, known := before[ref]; !known {
			found = append(found, change{ref, zeroID, now})
		}
	}
	slices.SortFunc(found, func(a, b change) int { return strings.Compare(a.ref, b.ref) })
	return found
}

// announce queues a webhook for each changed ref and each hook. The push has happened, so a failure here is only logged.
func (s *Server) announce(ctx context.Context, name, baseURL string, before map[string]string) {
	after, err := s.refs(ctx, name)
	if err != nil {
		s.log.Error("reading what a push changed", "repository", name, "err", err)
		return
	}
	changed := changes(before, after)
	if len(changed) == 0 {
		return
	}
	s.log.Info("push received", "repository", name, "refs", len(changed))
	set, err := s.readSettings(name)
	if err != nil {
		s.log.Error("reading webhooks", "repository", name, "err", err)
		return
	}
	if len(set.Hooks) == 0 {
		return
	}
	known := slices.Collect(maps.Values(before))
	for _, c := range changed {
		body, err := s.payload(ctx, name, baseURL, c, known)
		if err != nil {
			s.log.Error("describing a push", "repository", name, "ref", c.ref, "err", err)
			continue
		}
		for _, h := range set.Hooks {
			s.deliver.enqueue(h, c.ref, body)
		}
	}
}
