package hooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// rendering finds out which images a change brings, by rendering the Pack before it and after it. What a tag does to the
// images of a Pack that is the same otherwise is remembered, for pipelines change nothing but the tag.
type rendering struct {
	releases Releases
	now      func() time.Time
	// Rendering is CPU work: more at the same time only take longer.
	slots chan struct{}

	lock    sync.Mutex
	effects map[string]effect
}

// effect are the images that a tag brings, with tags that are to be replaced.
type effect struct {
	uses  []Use
	tag   string
	until time.Time
}

// How long an effect is remembered, for the charts and shared vars may change, and how many are.
const (
	keepEffects = 10 * time.Minute
	mostEffects = 5000
)

func newRendering(releases Releases, now func() time.Time) rendering {
	return rendering{releases: releases, now: now, slots: make(chan struct{}, 4), effects: map[string]effect{}}
}

// brought returns the images that the Pack does not have without the change.
func (r *rendering) brought(ctx context.Context, obj *packv1.Pack, c *call) ([]Use, error) {
	tag, key := plainTag(c.vars), ""
	if tag != "" && !c.dryRun {
		key = effectKey(obj, c.vars)
		if uses, ok := r.recall(key, tag); ok {
			return uses, nil
		}
	}
	after, err := r.images(ctx, with(obj, c.vars))
	if err != nil {
		return nil, err
	}
	before, err := r.images(ctx, obj)
	var brought []Use
	for _, use := range after {
		// A Pack that cannot be rendered as it is has no images.
		if !slices.ContainsFunc(before, func(old Use) bool { return old.Reference == use.Reference }) {
			brought = append(brought, use)
		}
	}
	if key != "" && err == nil {
		r.remember(key, tag, brought)
	}
	return brought, nil
}

func (r *rendering) images(ctx context.Context, obj *packv1.Pack) ([]Use, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.releases.Images(ctx, obj)
}

var ociTag = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// plainTag returns the value of a change that is nothing but a tag.
func plainTag(vars map[string]json.RawMessage) string {
	if len(vars) != 1 {
		return ""
	}
	for name, raw := range vars {
		var value string
		if tagName.MatchString(name) && json.Unmarshal(raw, &value) == nil && ociTag.MatchString(value) {
			return value
		}
	}
	return ""
}

// effectKey names a Pack without the values of the vars.
func effectKey(obj *packv1.Pack, vars map[string]json.RawMessage) string {
	spec := obj.Spec.DeepCopy()
	for name := range vars {
		delete(spec.Vars, name)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(append(text, strings.Join(slices.Sorted(maps.Keys(vars)), ",")...))
	return string(obj.UID) + " " + hex.EncodeToString(sum[:])
}

// remember keeps the effect of a tag, when it is that every image that it brings ends with it.
func (r *rendering) remember(key, tag string, brought []Use) {
	if slices.ContainsFunc(brought, func(u Use) bool { return !strings.HasSuffix(u.Reference, ":"+tag) }) {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	now := r.now()
	if len(r.effects) >= mostEffects {
		maps.DeleteFunc(r.effects, func(_ string, e effect) bool { return now.After(e.until) })
	}
	if len(r.effects) < mostEffects {
		r.effects[key] = effect{brought, tag, now.Add(keepEffects)}
	}
}

func (r *rendering) recall(key, tag string) ([]Use, bool) {
	r.lock.Lock()
	defer r.lock.Unlock()
	known, ok := r.effects[key]
	if !ok || r.now().After(known.until) {
		return nil, false
	}
	uses := slices.Clone(known.uses)
	for i := range uses {
		uses[i].Reference = strings.TrimSuffix(uses[i].Reference, known.tag) + tag
	}
	return uses, true
}
