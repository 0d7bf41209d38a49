package notify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/notify/event"
)

// item is one notification that is to be sent.
type item struct {
	// Alert is why it is sent.
	Alert types.NamespacedName `json:"alert"`
	Event event.Event          `json:"event"`
	At    time.Time            `json:"at"`
	seq   uint64
}

// entry is an item in the line of a Provider.
type entry struct {
	provider string
	item     item
}

// bounds limit what the queue holds.
type bounds struct {
	// items and bytes are for one Provider, total is in bytes, for all.
	items, bytes, total int
	// window is how long an event is not taken again.
	window time.Duration
}

// load is what a Provider has in the queue.
type load struct{ items, bytes int }

var (
	queueBucket = []byte("queue")
	seenBucket  = []byte("seen")
)

var errClosed = errors.New("the queue is closed")

// queue keeps notifications on disk, one line for each Provider, and the events of the last minutes. What add returned
// without an error survives the end of the process.
type queue struct {
	db     *bbolt.DB
	bounds bounds
	writes chan write
	closed chan struct{}
	once   sync.Once
	done   chan struct{}

	mu    sync.Mutex
	loads map[string]load
	total int
	seen  map[string]time.Time
	swept time.Time
}

// write is a change that waits for the disk. Those that wait together share one flush.
type write struct {
	apply func(*bbolt.Tx) error
	err   chan error
}

// openQueue opens the queue in a file. A file that cannot be read is put aside, for a queue that is lost is better than a
// process that does not start.
func openQueue(path string, b bounds, log *slog.Logger) (*queue, error) {
	q := &queue{
		bounds: b, writes: make(chan write, 256), closed: make(chan struct{}), done: make(chan struct{}),
	}
	err := q.open(path)
	if err != nil && !errors.Is(err, bbolt.ErrTimeout) {
		log.Error("the queue of notifications cannot be read and is put aside", "error", err.Error())
		if err := os.Rename(path, path+".broken"); err != nil {
			return nil, fmt.Errorf("putting the broken queue of notifications aside: %w", err)
		}
		err = q.open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the queue of notifications: %w", err)
	}
	go q.run()
	return q, nil
}

func (q *queue) open(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(queueBucket)
		if err == nil {
			_, err = tx.CreateBucketIfNotExists(seenBucket)
		}
		return err
	})
	q.db = db
	if err == nil {
		err = q.reload()
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	return nil
}

// reload reads what the file holds.
func (q *queue) reload() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.loads, q.seen, q.total = map[string]load{}, map[string]time.Time{}, 0
	return q.db.View(func(tx *bbolt.Tx) error {
		err := tx.Bucket(queueBucket).ForEachBucket(func(provider []byte) error {
			var l load
			err := tx.Bucket(queueBucket).Bucket(provider).ForEach(func(_, value []byte) error {
				l.items, l.bytes = l.items+1, l.bytes+len(value)
				return nil
			})
			q.loads[string(provider)] = l
			q.total += l.bytes
			return err
		})
		if err != nil {
			return err
		}
		return tx.Bucket(seenBucket).ForEach(func(key, value []byte) error {
			q.seen[string(key)] = time.Unix(0, int64(binary.BigEndian.Uint64(value))) //nolint:gosec // a time that this code wrote
			return nil
		})
	})
}

// run flushes what waits, in turns, until the queue is closed.
func (q *queue) run() {
	defer close(q.done)
	for {
		var turn []write
		select {
		case w := <-q.writes:
			turn = append(turn, w)
		case <-q.closed:
			return
		}
		for len(turn) < cap(q.writes) && len(q.writes) > 0 {
			turn = append(turn, <-q.writes)
		}
		err := q.db.Update(func(tx *bbolt.Tx) error {
			for _, w := range turn {
				if err := w.apply(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			err = errors.Join(err, q.reload())
		}
		for _, w := range turn {
			w.err <- err
		}
	}
}

func (q *queue) update(apply func(*bbolt.Tx) error) error {
	w := write{apply, make(chan error, 1)}
	select {
	case q.writes <- w:
	case <-q.closed:
		return errClosed
	}
	select {
	case err := <-w.err:
		return err
	case <-q.done:
		return errClosed
	}
}

// close ends the queue. What is in it stays on disk.
func (q *queue) close() error {
	q.once.Do(func() { close(q.closed) })
	<-q.done
	return q.db.Close()
}
