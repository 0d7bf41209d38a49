package redeploy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// state is what the pods of a workload were started with: the hash of each watched object, by kind/name.
type state map[string]string

// readState reads the annotation that holds the state. One that cannot be read counts as none: the next one is written from
// what is there, and nothing is rolled.
func readState(annotation string) state {
	s := state{}
	if json.Unmarshal([]byte(annotation), &s) != nil {
		return state{}
	}
	return s
}

// String returns the annotation's value, which is empty for an empty state.
func (s state) String() string {
	if len(s) == 0 {
		return ""
	}
	text, _ := json.Marshal(s) // a map of strings
	return string(text)
}

// digest is one value for the whole state.
func (s state) digest() string {
	sum := sha256.Sum256([]byte(s.String()))
	return hex.EncodeToString(sum[:8])
}

// next returns the state that follows from was when the objects are as now says, an empty hash for one that is not there, and
// which of them changed. One that is seen for the first time did not change; one that is gone keeps its hash, so that it is
// known when it comes back whether it is another one. So does, with keep, what is not in now.
func (s state) next(now map[string]string, keep bool) (then state, changed, missing []string) {
	then = state{}
	if keep {
		maps.Copy(then, s)
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, known := s[name]
		is := now[name]
		switch {
		case is == "":
			missing = append(missing, name)
			if known {
				then[name] = was
			}
			continue
		case known && was != is:
			changed = append(changed, name)
		}
		then[name] = is
	}
	return then, changed, missing
}

// pending is a change that waits until nothing more changes.
type pending struct {
	digest      string
	first, last time.Time
}

// patience is how many quiet times a roll is put off at most, when what is watched does not stop changing.
const patience = 12

// wait takes in that the state to come has this digest now, and returns how long the roll is put off still.
func (p *pending) wait(digest string, now time.Time, quiet time.Duration) time.Duration {
	if p.digest == "" {
		p.first = now
	}
	if p.digest != digest {
		p.digest, p.last = digest, now
	}
	left := p.last.Add(quiet).Sub(now)
	return max(0, min(left, p.first.Add(patience*quiet).Sub(now)))
}
