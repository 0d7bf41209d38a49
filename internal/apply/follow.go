package apply

import (
	"context"
	"slices"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Health is how an object is, in the words of kstatus.
type Health string

// The states of an object.
const (
	HealthCurrent    = Health(status.CurrentStatus)
	HealthInProgress = Health(status.InProgressStatus)
	HealthFailed     = Health(status.FailedStatus)
	HealthNotFound   = Health(status.NotFoundStatus)
	HealthUnknown    = Health(status.UnknownStatus)
)

// State is what is known of an object.
type State struct {
	Health  Health
	Message string
	// Version is the object's resource version.
	Version string
}

// HealthOf says how an object is by the rules of kstatus.
func HealthOf(obj *unstructured.Unstructured) State {
	s := State{Version: obj.GetResourceVersion()}
	result, err := status.Compute(obj)
	if err != nil {
		s.Health, s.Message = HealthUnknown, err.Error()
		return s
	}
	s.Health, s.Message = Health(result.Status), result.Message
	if s.Health == HealthCurrent && saysReady[obj.GroupVersionKind().GroupKind()] && !hasReady(obj) {
		s.Health, s.Message = HealthInProgress, "its operator has not looked at it yet"
	}
	return s
}

// saysReady are kinds whose operator says in the condition Ready how they are. Before it has, kstatus takes them for current.
var saysReady = map[schema.GroupKind]bool{{Group: "postgresql.cnpg.io", Kind: "Cluster"}: true}

func hasReady(obj *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Ready"
	})
}

// Follower hears that an object changed which carries the labels of an owner, whoever applied it.
type Follower struct {
	// C receives something after every change; several changes may be one.
	C <-chan struct{}

	engine *Engine
	owner  Owner
	c      chan struct{}
}

// Follow watches objects of the given kinds for whoever waits for those of owner, until Close is called. It returns an
// error when the kinds cannot be watched before ctx is done.
func (e *Engine) Follow(ctx context.Context, owner Owner, kinds []schema.GroupVersionKind) (*Follower, error) {
	if err := e.watchKinds(ctx, e.classes[owner.Kind], kinds); err != nil {
		return nil, err
	}
	c := make(chan struct{}, 1)
	f := &Follower{C: c, c: c, engine: e, owner: owner}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.followers[owner] = append(e.followers[owner], f)
	return f, nil
}

// State returns how an object is, and false when none of that ID carries the owner's labels.
func (f *Follower) State(id ObjectID) (State, bool) {
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	l, ok := f.engine.live[liveKey{f.owner.Kind, id}]
	if !ok || l.owner != f.owner {
		return State{}, false
	}
	return State{Health: l.health, Message: l.message, Version: l.version}, true
}

// Close ends the following.
func (f *Follower) Close() {
	f.engine.mu.Lock()
	defer f.engine.mu.Unlock()
	rest := slices.DeleteFunc(f.engine.followers[f.owner], func(other *Follower) bool { return other == f })
	if len(rest) == 0 {
		delete(f.engine.followers, f.owner)
		return
	}
	f.engine.followers[f.owner] = rest
}

// tell wakes the followers of owner. The lock is held.
func (e *Engine) tell(owner Owner) {
	for _, f := range e.followers[owner] {
		select {
		case f.c <- struct{}{}:
		default:
		}
	}
}
