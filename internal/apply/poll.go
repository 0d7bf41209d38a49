package apply

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/kube"
)

// How often an object is looked at whose kind Peyk may not watch: seldom when it is healthy, often while it is waited
// for.
const (
	pollHealthy = 30 * time.Second
	pollWaiting = 3 * time.Second
)

// pollUntil looks at the objects of kinds that cannot be watched, until ctx is done.
func (e *Engine) pollUntil(ctx context.Context) {
	ticker := time.NewTicker(pollWaiting)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			for owner, due := range e.due() {
				for _, entry := range due.entries {
					// An error is met again, and told, by the next apply.
					_ = e.refresh(ctx, e.classes[owner.Kind], due.client, entry)
				}
			}
		}
	}
}

type due struct {
	client  *kube.Client
	entries []Entry
}

// due returns the objects that are to be looked at now, by owner.
func (e *Engine) due() map[Owner]due {
	e.mu.Lock()
	defer e.mu.Unlock()
	polled := map[string]map[schema.GroupVersionKind]bool{}
	for key, w := range e.watches {
		if w.polled {
			if polled[key.class] == nil {
				polled[key.class] = map[schema.GroupVersionKind]bool{}
			}
			polled[key.class][key.kind] = true
		}
	}
	all := map[Owner]due{}
	if len(polled) == 0 {
		return all
	}
	now := e.clock.Now()
	for owner, o := range e.owned {
		for id, t := range o.objects {
			pause := pollHealthy
			if e.live[liveKey{owner.Kind, id}].health != HealthCurrent {
				pause = pollWaiting
			}
			if o.client != nil && polled[owner.Kind][t.entry.GVK()] && now.Sub(t.polled) >= pause {
				t.polled = now
				all[owner] = due{o.client, append(all[owner].entries, t.entry)}
			}
		}
	}
	return all
}

// refresh looks at one object, with the rights of client.
func (e *Engine) refresh(ctx context.Context, class Class, client *kube.Client, entry Entry) error {
	obj, err := client.Get(ctx, entry.GVK(), entry.Namespace, entry.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.vanished(class, entry.ObjectID)
		e.notify()
		return nil
	}
	l := e.observe(class, obj)
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.owner.Name != "" {
		e.seen(class, entry.ObjectID, l)
	} else {
		e.vanished(class, entry.ObjectID) // it is there, but no owner's
	}
	e.notify()
	return nil
}
