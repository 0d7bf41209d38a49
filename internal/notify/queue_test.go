package notify

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/notify/event"
)

func newQueue(t *testing.T, path string, b bounds) *queue {
	t.Helper()
	b.window = time.Minute
	q, err := openQueue(path, b, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.close() })
	return q
}

func put(t *testing.T, q *queue, provider, message string) map[string]int {
	t.Helper()
	taken, dropped, err := q.add(provider+message, []entry{{provider, item{Event: event.Event{Message: message}}}}, time.Now())
	if err != nil || !taken {
		t.Fatalf("%v, %v", taken, err)
	}
	return dropped
}

func drain(t *testing.T, q *queue, provider string) []string {
	t.Helper()
	var got []string
	for {
		i, ok, err := q.first(provider)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return got
		}
		got = append(got, i.Event.Message[:1])
		if err := q.remove(provider, i.seq); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	t.Run("by items", func(t *testing.T) {
		q := newQueue(t, filepath.Join(t.TempDir(), "q"), bounds{items: 3, bytes: 1 << 20, total: 1 << 20})
		put(t, q, "b", "0")
		for i := range 5 {
			put(t, q, "a", fmt.Sprint(i))
		}
		if diff := cmp.Diff([]string{"2", "3", "4"}, drain(t, q, "a")); diff != "" {
			t.Errorf("the oldest go: %s", diff)
		}
		if diff := cmp.Diff([]string{"0"}, drain(t, q, "b")); diff != "" {
			t.Errorf("others stay: %s", diff)
		}
	})
	t.Run("by bytes", func(t *testing.T) {
		q := newQueue(t, filepath.Join(t.TempDir(), "q"), bounds{items: 100, bytes: 25000, total: 1 << 20})
		for i := range 5 {
			put(t, q, "a", fmt.Sprint(i)+strings.Repeat("x", 10000))
		}
		if diff := cmp.Diff([]string{"3", "4"}, drain(t, q, "a")); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("all together, at the cost of the one with the most", func(t *testing.T) {
		q := newQueue(t, filepath.Join(t.TempDir(), "q"), bounds{items: 100, bytes: 1 << 20, total: 45000})
		for i := range 4 {
			put(t, q, "greedy", fmt.Sprint(i)+strings.Repeat("x", 10000))
		}
		if dropped := put(t, q, "modest", "9"+strings.Repeat("x", 10000)); dropped["greedy"] != 1 || dropped["modest"] != 0 {
			t.Errorf("dropped %v", dropped)
		}
		if q.total > 45000 || q.size() != 4 {
			t.Errorf("%d bytes, %d items", q.total, q.size())
		}
	})
}

func TestTheQueueCountsWhatItFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	q := newQueue(t, path, bounds{items: 100, bytes: 1 << 20, total: 1 << 20})
	var wait sync.WaitGroup
	for side := range 8 {
		wait.Go(func() {
			for i := range 10 {
				put(t, q, fmt.Sprint("p", side%3), fmt.Sprintf("%d%d", side, i))
			}
		})
	}
	wait.Wait()
	loads, total := q.loads, q.total
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := q.add("x", []entry{{"a", item{}}}, time.Now()); err == nil {
		t.Error("want an error from a closed queue")
	}
	again := newQueue(t, path, q.bounds)
	if diff := cmp.Diff(loads, again.loads, cmp.AllowUnexported(load{})); diff != "" || total != again.total || again.size() != 80 {
		t.Errorf("%d and %d bytes: %s", total, again.total, diff)
	}
	if len(again.seen) != 80 {
		t.Errorf("%d events are remembered, want 80", len(again.seen))
	}
}

func TestOldKeysAreForgotten(t *testing.T) {
	q := newQueue(t, filepath.Join(t.TempDir(), "q"), bounds{items: 100, bytes: 1 << 20, total: 1 << 20})
	now := time.Now()
	for i := range 5 {
		later := now.Add(time.Duration(i) * 2 * time.Minute)
		if taken, _, err := q.add("same", []entry{{"a", item{}}}, later); !taken || err != nil {
			t.Fatalf("%v, %v", taken, err)
		}
		if taken, _, _ := q.add("same", []entry{{"a", item{}}}, later.Add(time.Second)); taken {
			t.Fatal("taken twice")
		}
		if _, _, err := q.add(fmt.Sprint("other", i), []entry{{"a", item{}}}, later); err != nil {
			t.Fatal(err)
		}
	}
	if len(q.seen) > 3 {
		t.Errorf("%d keys are remembered", len(q.seen))
	}
}

func TestABrokenQueueIsPutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	q := newQueue(t, path, bounds{items: 100, bytes: 1 << 20, total: 1 << 20})
	put(t, q, "a", "1")
	if _, err := os.Stat(path + ".broken"); err != nil {
		t.Error(err)
	}
}
