package apply

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// queues are the work queues of the controllers, by the kind of their owners, and what the controllers tell of the
// owners. All engines share them.
type queues struct {
	mu    sync.Mutex
	of    map[string]queue
	holds map[string]func(Owner, ObjectID) bool
}

func (q *queues) put(kind string, of queue) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.of[kind] = of
}

func (q *queues) get(kind string) (queue, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	of, ok := q.of[kind]
	return of, ok
}

// Events is a source that wakes the owners of a kind when one of their objects drifts, vanishes or changes its health.
func (e *Engine) Events(kind string) source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		e.queues.put(kind, q)
		return nil
	})
}

// wake asks for a pass over owner. With t, the pass is a repair of t, which is put off when it was repaired again and
// again: somebody else wants the object otherwise. The lock is held.
func (e *Engine) wake(owner Owner, t *tracked) {
	q, ok := e.queues.get(owner.Kind)
	if !ok || e.owned[owner] == nil {
		return
	}
	request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}}
	if t == nil {
		q.Add(request)
		return
	}
	now := e.clock.Now()
	if now.Before(t.notBefore) {
		return // the repair is on its way; further changes do not put it off further
	}
	if now.Sub(t.notBefore) > quiet {
		t.repairs = 0
	}
	delay := repairDelay(t.repairs)
	t.notBefore = now.Add(delay)
	q.AddAfter(request, delay)
}

// ahead is the priority of an owner that may be done with a look at it.
const ahead = 1

// wakeWaiting asks for a pass over an owner one of whose objects changed its health. When that is final, the pass comes
// before those that have all of their work ahead: of a thousand owners that were made at once, the first would otherwise
// be said to be ready when the last was applied. The lock is held.
func (e *Engine) wakeWaiting(owner Owner, health Health) {
	q, ok := e.queues.get(owner.Kind)
	prioritized, can := q.(priorityqueue.PriorityQueue[ctrl.Request])
	if !ok || !can || e.owned[owner] == nil || (health != HealthCurrent && health != HealthFailed) {
		e.wake(owner, nil)
		return
	}
	request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}}
	prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: new(ahead)}, request)
}

// quiet is how long an object must stay as applied until earlier repairs are forgotten.
const quiet = time.Minute

// repairDelay is how long the next repair waits after n in a row: at once three times, then 2 s, trebled up to 5 min,
// as Argo CD's self-healing does.
func repairDelay(n int) time.Duration {
	const free, first, longest = 3, 2 * time.Second, 5 * time.Minute
	if n < free {
		return 0
	}
	delay := first
	for range n - free {
		if delay *= 3; delay >= longest {
			return longest
		}
	}
	return delay
}
