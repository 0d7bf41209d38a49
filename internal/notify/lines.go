package notify

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// duplicate says whether an event with key was taken a short while ago.
func (q *queue) duplicate(key string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return now.Before(q.seen[key])
}

// add puts items into the lines of their Providers, unless an event with key was taken a short while ago. It returns how
// many items of which Provider had to go for it.
func (q *queue) add(key string, items []entry, now time.Time) (taken bool, dropped map[string]int, err error) {
	encoded := make([][]byte, len(items))
	for i, e := range items {
		if encoded[i], err = json.Marshal(e.item); err != nil {
			return false, nil, fmt.Errorf("encoding an event: %w", err)
		}
	}
	err = q.update(func(tx *bbolt.Tx) error {
		q.mu.Lock()
		defer q.mu.Unlock()
		taken, dropped = !now.Before(q.seen[key]), map[string]int{}
		if !taken {
			return nil
		}
		for i, e := range items {
			if err := q.push(tx, e.provider, encoded[i]); err != nil {
				return err
			}
			if err := q.makeRoom(tx, e.provider, dropped); err != nil {
				return err
			}
		}
		return q.mark(tx, key, now)
	})
	return taken, dropped, err
}

func (q *queue) push(tx *bbolt.Tx, provider string, value []byte) error {
	line, err := tx.Bucket(queueBucket).CreateBucketIfNotExists([]byte(provider))
	if err != nil {
		return err
	}
	seq, err := line.NextSequence()
	if err != nil {
		return err
	}
	q.count(provider, 1, len(value))
	return line.Put(binary.BigEndian.AppendUint64(nil, seq), value)
}

func (q *queue) count(provider string, items, bytes int) {
	l := q.loads[provider]
	l.items, l.bytes = l.items+items, l.bytes+bytes
	q.total += bytes
	q.loads[provider] = l
	if l.items == 0 {
		delete(q.loads, provider)
	}
}

// makeRoom drops the oldest items of a Provider that has too many, and of the one with the most while all together have.
func (q *queue) makeRoom(tx *bbolt.Tx, provider string, dropped map[string]int) error {
	for {
		victim := provider
		if l := q.loads[provider]; l.items <= q.bounds.items && l.bytes <= q.bounds.bytes {
			if q.total <= q.bounds.total {
				return nil
			}
			for p, l := range q.loads {
				if l.bytes > q.loads[victim].bytes {
					victim = p
				}
			}
		}
		line := tx.Bucket(queueBucket).Bucket([]byte(victim))
		first, value := line.Cursor().First()
		if first == nil {
			return nil
		}
		q.count(victim, -1, -len(value))
		dropped[victim]++
		if err := line.Delete(first); err != nil {
			return err
		}
	}
}

// mark remembers the event, and now and then forgets those whose time is over.
func (q *queue) mark(tx *bbolt.Tx, key string, now time.Time) error {
	seen := tx.Bucket(seenBucket)
	if now.Sub(q.swept) > time.Minute {
		q.swept = now
		for k, until := range q.seen {
			if now.Before(until) {
				continue
			}
			delete(q.seen, k)
			if err := seen.Delete([]byte(k)); err != nil {
				return err
			}
		}
	}
	until := now.Add(q.bounds.window)
	q.seen[key] = until
	return seen.Put([]byte(key), binary.BigEndian.AppendUint64(nil, uint64(until.UnixNano()))) //nolint:gosec // after 1970
}

// first returns the oldest item of a Provider. ok is false when it has none.
func (q *queue) first(provider string) (i item, ok bool, err error) {
	err = q.db.View(func(tx *bbolt.Tx) error {
		line := tx.Bucket(queueBucket).Bucket([]byte(provider))
		if line == nil {
			return nil
		}
		key, value := line.Cursor().First()
		if key == nil {
			return nil
		}
		ok, i.seq = true, binary.BigEndian.Uint64(key)
		return json.Unmarshal(value, &i)
	})
	return i, ok, err
}

// remove takes an item out of the line of a Provider.
func (q *queue) remove(provider string, seq uint64) error {
	return q.update(func(tx *bbolt.Tx) error {
		q.mu.Lock()
		defer q.mu.Unlock()
		lines, key := tx.Bucket(queueBucket), binary.BigEndian.AppendUint64(nil, seq)
		line := lines.Bucket([]byte(provider))
		if line == nil {
			return nil
		}
		value := line.Get(key)
		if value == nil {
			return nil
		}
		q.count(provider, -1, -len(value))
		return line.Delete(key)
	})
}

// providers lists those that have items.
func (q *queue) providers() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var names []string
	for p := range q.loads {
		names = append(names, p)
	}
	return names
}

// has says whether a Provider has items.
func (q *queue) has(provider string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.loads[provider].items > 0
}

// size returns how many items there are.
func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, l := range q.loads {
		n += l.items
	}
	return n
}
