package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// webhookManager owns the vars that the webhook set, so that others can tell them from what Git says.
const webhookManager = "peyk-webhook"

// lastAnnotation tells of the last call that changed a Pack which does not live in Git. It is written together with the
// vars, so that a call is known to be done even when the process ended before it was answered.
const lastAnnotation = "k8s.kubit.ir/webhook-last"

// lastCall is the value of lastAnnotation.
type lastCall struct {
	Time   time.Time `json:"time"`
	Token  string    `json:"token"`
	Images []Image   `json:"images,omitempty"`
	// Key is the hash of the call's idempotency key.
	Key string `json:"key,omitempty"`
}

func lastOf(obj *packv1.Pack) lastCall {
	var last lastCall
	_ = json.Unmarshal([]byte(obj.Annotations[lastAnnotation]), &last) // somebody else's words are no call
	return last
}

// attempts is how often a write is tried when somebody else changed the Pack in between.
const attempts = 5

// read returns the Pack as it is now.
func (h *PackVars) read(ctx context.Context, c *call) (*packv1.Pack, error) {
	var obj packv1.Pack
	err := h.Fresh.Get(ctx, client.ObjectKeyFromObject(c.pack), &obj)
	if apierrors.IsNotFound(err) || err == nil && obj.UID != c.pack.UID {
		return nil, errToken
	}
	if err != nil {
		return nil, err
	}
	if !obj.DeletionTimestamp.IsZero() {
		return nil, refuse(http.StatusConflict, "the Pack is being removed", "create it again first")
	}
	return &obj, nil
}

// apply writes the vars that are not so yet to a Pack that lives in the cluster alone.
func (h *PackVars) apply(ctx context.Context, c *call, obj *packv1.Pack, found *finding) (*answer, error) {
	done := found.answer(c)
	for range attempts {
		last := lastOf(obj)
		if c.key != "" && last.Key == hashKey(c.key) {
			done.Changed, done.Images = true, last.Images // by a process that did not live to say so
			return done, nil
		}
		if len(differing(obj, c.vars)) == 0 {
			return done, nil
		}
		if err := h.ledger.settle(ctx, obj, last); err != nil {
			return nil, err
		}
		err := h.write(ctx, obj, c, found)
		if err == nil {
			done.Changed = true
			return done, nil
		}
		if !apierrors.IsConflict(err) {
			return nil, err
		}
		if obj, err = h.read(ctx, c); err != nil {
			return nil, err
		}
	}
	busy := refuse(http.StatusConflict, "somebody else keeps changing the Pack", "try again")
	return nil, busy
}

// diff is what a change does to the vars of a Pack, line by line.
func diff(obj *packv1.Pack, vars map[string]json.RawMessage) []string {
	var lines []string
	for _, name := range differing(obj, vars) {
		if current, ok := obj.Spec.Vars[name]; ok {
			lines = append(lines, fmt.Sprintf("-%s: %s", name, current.Raw))
		}
		lines = append(lines, fmt.Sprintf("+%s: %s", name, vars[name]))
	}
	return lines
}

// differing returns the vars that have another value in the Pack.
func differing(obj *packv1.Pack, vars map[string]json.RawMessage) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		current, ok := obj.Spec.Vars[name]
		if !ok || !sameJSON(current.Raw, vars[name]) {
			names = append(names, name)
		}
	}
	return names
}

func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return bytes.Equal(a, b)
	}
	return x == y
}

// write applies the vars as the webhook's own, together with those that it set before: leaving one out would remove it.
func (h *PackVars) write(ctx context.Context, obj *packv1.Pack, c *call, found *finding) error {
	applied := map[string]json.RawMessage{}
	for _, name := range ownVars(obj.ManagedFields) {
		if current, ok := obj.Spec.Vars[name]; ok {
			applied[name] = current.Raw
		}
	}
	maps.Copy(applied, c.vars)
	last := lastCall{Time: h.now().UTC(), Token: c.holder.Name, Images: found.images}
	if c.key != "" {
		last.Key = hashKey(c.key)
	}
	note, err := json.Marshal(last)
	if err != nil {
		return fmt.Errorf("encoding the call: %w", err)
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": packv1.GroupVersion.String(),
		"kind":       packv1.PackKind,
		// The version makes the API server refuse the write when the Pack was changed since it was read.
		"metadata": map[string]any{
			"namespace": obj.Namespace, "name": obj.Name, "resourceVersion": obj.ResourceVersion,
			"annotations": map[string]any{lastAnnotation: string(note)},
		},
		"spec": map[string]any{"vars": applied},
	})
	if err != nil {
		return fmt.Errorf("encoding the vars: %w", err)
	}
	target := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: obj.Name}}
	err = h.Client.Patch(ctx, target, client.RawPatch(types.ApplyPatchType, body), client.ForceOwnership, client.FieldOwner(webhookManager))
	if err != nil {
		return fmt.Errorf("writing the vars: %w", err)
	}
	return nil
}

// ownVars returns the vars that the webhook owns, by the managed fields of a Pack.
func ownVars(entries []metav1.ManagedFieldsEntry) []string {
	var names []string
	for _, entry := range entries {
		if entry.Manager != webhookManager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec struct {
				Vars map[string]json.RawMessage `json:"f:vars"`
			} `json:"f:spec"`
		}
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for field := range fields.Spec.Vars {
			if name, ok := strings.CutPrefix(field, "f:"); ok {
				names = append(names, name)
			}
		}
	}
	return names
}
