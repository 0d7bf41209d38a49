package apply

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// search is the one-time look for kinds of which a class has objects. A process that was killed may have applied objects
// of kinds that neither an inventory nor the new desired state has: they are found by their labels.
type search struct {
	done chan struct{}
	err  error
}

// searchTimeout bounds the look at all kinds of a cluster.
const searchTimeout = time.Minute

// search makes sure that every kind is watched of which the class has objects. The kinds are asked for once in the life
// of the process; from then on this process itself knows what it applies.
func (e *Engine) search(ctx context.Context, class Class) error {
	e.mu.Lock()
	s := e.searched[class.Kind]
	mine := s == nil
	if mine {
		s = &search{done: make(chan struct{})}
		e.searched[class.Kind] = s
	}
	e.mu.Unlock()
	if mine {
		s.err = e.find(ctx, class)
		if s.err != nil {
			e.mu.Lock()
			delete(e.searched, class.Kind) // the next one tries again
			e.mu.Unlock()
		}
		close(s.done)
	}
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Engine) find(ctx context.Context, class Class) error {
	ctx, cancel := context.WithTimeout(ctx, searchTimeout)
	defer cancel()
	known := func(gvk schema.GroupVersionKind) bool { return e.watchOf(watchKey{class.Kind, gvk}) != nil }
	applied := func(m *v1.PartialObjectMetadata) bool {
		for _, f := range m.ManagedFields {
			if f.Manager == class.Manager && f.Operation == v1.ManagedFieldsOperationApply {
				return true
			}
		}
		return false
	}
	kinds, err := e.own.KindsWith(ctx, class.NameLabel, known, applied)
	if err != nil {
		return fmt.Errorf("looking for what was applied before: %w", err)
	}
	return e.watchKinds(ctx, class, kinds)
}
