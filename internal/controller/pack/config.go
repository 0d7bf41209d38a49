package pack

import (
	"context"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// changedVars wakes the Packs that use a var which was changed in a Config or ClusterConfig, and no others.
func (c *Controller) changedVars() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			c.wakeUsers(ctx, e.Object, changed(nil, e.Object), q)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			c.wakeUsers(ctx, e.ObjectNew, changed(e.ObjectOld, e.ObjectNew), q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) {
			c.wakeUsers(ctx, e.Object, changed(e.Object, nil), q)
		},
	}
}

// changed returns the names of the vars that differ between two states of an object, either of which may be nil.
func changed(before, after client.Object) map[string]bool {
	old, oldReach := varsOf(before)
	now, reach := varsOf(after)
	everything := before != nil && after != nil && !equality.Semantic.DeepEqual(oldReach, reach)
	names := map[string]bool{}
	for name, value := range old {
		if other, ok := now[name]; everything || !ok || string(other.Raw) != string(value.Raw) {
			names[name] = true
		}
	}
	for name := range now {
		if _, ok := old[name]; everything || !ok {
			names[name] = true
		}
	}
	return names
}

// varsOf returns the vars of a Config or ClusterConfig, and whom they reach.
func varsOf(obj client.Object) (vars map[string]apiextensionsv1.JSON, reach any) {
	switch obj := obj.(type) {
	case *packv1.Config:
		return obj.Spec.Vars, nil
	case *packv1.ClusterConfig:
		return obj.Spec.Vars, obj.Spec.NamespaceSelector
	}
	return nil, nil
}

func (c *Controller) wakeUsers(ctx context.Context, of client.Object, names map[string]bool, q queue) {
	if len(names) == 0 {
		return
	}
	var packs packv1.PackList
	if err := c.reader.List(ctx, &packs, client.InNamespace(of.GetNamespace())); err != nil {
		return // the cache is not filled yet: every Pack is looked at then anyway
	}
	for i := range packs.Items {
		if key := client.ObjectKeyFromObject(&packs.Items[i]); c.asked(key, names) {
			q.Add(ctrl.Request{NamespacedName: key})
		}
	}
}

// asked says whether a Pack asked for one of these vars in its last pass, or is not known yet.
func (c *Controller) asked(key types.NamespacedName, names map[string]bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	used, known := c.uses[key]
	if !known {
		return true
	}
	for name := range names {
		if used[name] {
			return true
		}
	}
	return false
}

// noteUses remembers which vars a Pack asked for; nil when that is not known.
func (c *Controller) noteUses(key types.NamespacedName, used map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if used == nil {
		delete(c.uses, key)
		return
	}
	c.uses[key] = used
}
