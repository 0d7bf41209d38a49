package packsync

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// spec is a Pack's desired state in one form, whoever wrote it: without what is only a default, and with numbers alike.
type spec map[string]any

// specOf gives one form to the spec of a file or of the cluster. Fields that a Pack does not have are an error.
func specOf(raw any) (spec, error) {
	data, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	var typed packv1.PackSpec
	if err := strict(data, &typed); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	if typed.Volumes == packv1.VolumesKeep {
		typed.Volumes = ""
	}
	if r := typed.Chart.Repository; r != nil && r.Kind == packv1.ClusterPackRepositoryKind {
		r.Kind = ""
	}
	if data, err = json.Marshal(typed); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	var s spec
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	for _, field := range []string{"vars", "values"} {
		if m, ok := s[field].(map[string]any); ok && len(m) == 0 {
			delete(s, field)
		}
	}
	return s, nil
}

// digest names a spec.
func (s spec) digest() string {
	data, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:10])
}

// graft changes raw, as somebody wrote it, in those fields in which now differs from before, and leaves the rest.
func graft(raw, before, now any) any {
	if reflect.DeepEqual(before, now) {
		return raw
	}
	r, ok1 := raw.(map[string]any)
	b, ok2 := object(before)
	n, ok3 := object(now)
	if !ok1 || !ok2 || !ok3 {
		return plain(now)
	}
	for name, value := range n {
		if old, ok := b[name]; !ok || !reflect.DeepEqual(old, value) {
			r[name] = graft(r[name], old, value)
		}
	}
	for name := range b {
		if _, ok := n[name]; !ok {
			delete(r, name)
		}
	}
	return r
}

func object(v any) (map[string]any, bool) {
	if s, ok := v.(spec); ok {
		return s, true
	}
	m, ok := v.(map[string]any)
	return m, ok
}

func plain(v any) any {
	if s, ok := v.(spec); ok {
		return map[string]any(s)
	}
	return v
}

// prefer says whose value is taken of a field that both sides changed.
type prefer int

const (
	preferNobody prefer = iota
	preferGit
	preferCluster
)

// merge takes from both sides what each changed since base. It returns the fields that both changed, in different ways;
// of those it takes what p prefers. Lists are one value.
func merge(base, git, cluster spec, p prefer) (merged spec, both []string) {
	out, both := mergeObjects("spec", base, git, cluster, p)
	slices.Sort(both)
	return out, both
}

// absent is the value of a field that is not there.
type absent struct{}

func mergeObjects(at string, base, git, cluster map[string]any, p prefer) (map[string]any, []string) {
	out, both := map[string]any{}, []string(nil)
	names := map[string]bool{}
	for _, side := range []map[string]any{base, git, cluster} {
		for name := range side {
			names[name] = true
		}
	}
	for name := range names {
		value, conflicts := mergeField(at+"."+name, get(base, name), get(git, name), get(cluster, name), p)
		both = append(both, conflicts...)
		if _, gone := value.(absent); !gone {
			out[name] = value
		}
	}
	return out, both
}

func get(from map[string]any, name string) any {
	if v, ok := from[name]; ok {
		return v
	}
	return absent{}
}

func mergeField(at string, base, git, cluster any, p prefer) (any, []string) {
	switch {
	case reflect.DeepEqual(git, cluster), reflect.DeepEqual(cluster, base):
		return git, nil
	case reflect.DeepEqual(git, base):
		return cluster, nil
	}
	g, ok1 := git.(map[string]any)
	c, ok2 := cluster.(map[string]any)
	if ok1 && ok2 {
		b, _ := base.(map[string]any)
		return mergeObjects(at, b, g, c, p)
	}
	if p == preferCluster {
		return cluster, []string{at}
	}
	return git, []string{at}
}
