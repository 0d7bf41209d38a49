package hooks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// ledgerLabel marks the ConfigMaps that hold the calls with idempotency keys; its value is the Pack's short id.
const ledgerLabel = "k8s.kubit.ir/webhook-calls"

// How long a key is remembered, and how many of a Pack are: the younger half of them is never dropped before its time.
const (
	keepKeys = 48 * time.Hour
	mostKeys = 1000
)

// ledger remembers the calls with idempotency keys, in a ConfigMap beside the Pack. A call is written down before anything
// is changed, and its answer after it: a call that the process did not live to answer is found again, and is carried on
// with. What was changed by then is told by where the Pack lives: by the commit that names the key, or by the Pack's
// annotation that does.
type ledger struct {
	client client.Client
	fresh  client.Reader
	now    func() time.Time
}

// record is a call in the ledger.
type record struct {
	// Body is a hash of what was asked for.
	Body string    `json:"body"`
	At   time.Time `json:"at"`
	// Answer is missing until the call is answered. It holds no values of vars.
	Answer *answer `json:"answer,omitempty"`
}

func ledgerName(packName string) string { return packName + "-webhook-calls" }

// hashKey is how a key is written down: who reads it cannot repeat the call.
func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// hashBody tells bodies apart by what they ask for, however they are written.
func hashBody(c *call) string {
	sum := sha256.New()
	for _, name := range c.names() {
		var value any
		_ = json.Unmarshal(c.vars[name], &value) // was checked
		canonical, _ := json.Marshal([]any{name, value})
		sum.Write(canonical)
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// begin writes a call down. It returns the answer when it was given already, and refuses a key that was used for
// something else.
func (l *ledger) begin(ctx context.Context, c *call) (*answer, error) {
	book, err := l.read(ctx, c.pack)
	if err != nil {
		return nil, err
	}
	body := hashBody(c)
	if found, ok := book[hashKey(c.key)]; ok {
		if found.Body != body {
			return nil, refuse(http.StatusUnprocessableEntity, "the idempotency key was used for a call with another body",
				"use a new key for every change, such as the id of the CI job")
		}
		if found.Answer != nil {
			found.Answer.Vars, found.Answer.replayed = c.vars, true
		}
		return found.Answer, nil
	}
	entries := map[string]any{hashKey(c.key): record{Body: body, At: l.now().UTC()}}
	for _, old := range l.outdated(book) {
		entries[old] = nil
	}
	return nil, l.write(ctx, c.pack, entries)
}

// finish writes the answer down.
func (l *ledger) finish(ctx context.Context, c *call, done *answer) error {
	kept := *done
	kept.Vars = nil
	return l.write(ctx, c.pack, map[string]any{hashKey(c.key): record{Body: hashBody(c), At: l.now().UTC(), Answer: &kept}})
}

// drop forgets a call that was refused: nothing was changed, and it may be made again. What cannot be forgotten is so by
// its age.
func (l *ledger) drop(ctx context.Context, c *call) {
	_ = l.write(ctx, c.pack, map[string]any{hashKey(c.key): nil})
}

// read returns the calls of a Pack. What a ConfigMap of an earlier Pack of the name holds is none of them.
func (l *ledger) read(ctx context.Context, obj *packv1.Pack) (map[string]record, error) {
	var stored corev1.ConfigMap
	err := l.fresh.Get(ctx, client.ObjectKey{Namespace: obj.Namespace, Name: ledgerName(obj.Name)}, &stored)
	if apierrors.IsNotFound(err) {
		return nil, l.create(ctx, obj)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the calls of the webhook: %w", err)
	}
	switch stored.Labels[ledgerLabel] {
	case pack.UID(obj.UID):
	case "":
		return nil, refuse(http.StatusConflict, fmt.Sprintf("ConfigMap %s exists and has no label %s", stored.Name, ledgerLabel), "rename it, or leave the idempotency key out")
	default:
		if err := l.client.Delete(ctx, &stored); err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("removing the calls of an earlier Pack: %w", err)
		}
		return nil, l.create(ctx, obj)
	}
	book := map[string]record{}
	for key, text := range stored.Data {
		var r record
		if json.Unmarshal([]byte(text), &r) == nil {
			book[key] = r
		}
	}
	return book, nil
}

func (l *ledger) create(ctx context.Context, obj *packv1.Pack) error {
	err := l.client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: obj.Namespace, Name: ledgerName(obj.Name), Labels: map[string]string{ledgerLabel: pack.UID(obj.UID)},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: packv1.GroupVersion.String(), Kind: packv1.PackKind, Name: obj.Name, UID: obj.UID}},
	}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a place for the calls of the webhook: %w", err)
	}
	return nil
}

// outdated returns the keys that need not be remembered any longer.
func (l *ledger) outdated(book map[string]record) []string {
	keys := make([]string, 0, len(book))
	for key := range book {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return book[b].At.Compare(book[a].At) })
	limit := l.now().Add(-keepKeys)
	for i, key := range keys {
		if i >= mostKeys || book[key].At.Before(limit) {
			return keys[i:]
		}
	}
	return nil
}

// write changes entries alone, so that calls for the same Pack do not get into each other's way. Nil removes one.
func (l *ledger) write(ctx context.Context, obj *packv1.Pack, entries map[string]any) error {
	data := map[string]any{}
	for key, entry := range entries {
		data[key] = nil
		if entry != nil {
			text, err := json.Marshal(entry)
			if err != nil {
				return err
			}
			data[key] = string(text)
		}
	}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return err
	}
	target := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: obj.Namespace, Name: ledgerName(obj.Name)}}
	if err := l.client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(webhookManager)); err != nil {
		return fmt.Errorf("writing the call of the webhook down: %w", err)
	}
	return nil
}

// settle marks the call that is the last one of a Pack's annotation as answered, before the annotation tells of another.
func (l *ledger) settle(ctx context.Context, obj *packv1.Pack, last lastCall) error {
	if last.Key == "" {
		return nil
	}
	book, err := l.read(ctx, obj)
	if err != nil {
		return err
	}
	found, ok := book[last.Key]
	if !ok || found.Answer != nil {
		return nil
	}
	found.Answer = &answer{Changed: true, Pack: obj.Namespace + "/" + obj.Name, Images: last.Images}
	return l.write(ctx, obj, map[string]any{last.Key: found})
}

// keyedLocks lets one call with a key through at a time.
type keyedLocks struct {
	mu    sync.Mutex
	taken map[string]*keyedLock
}

type keyedLock struct {
	sync.Mutex
	users int
}

func (k *keyedLocks) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.taken == nil {
		k.taken = map[string]*keyedLock{}
	}
	l := k.taken[key]
	if l == nil {
		l = &keyedLock{}
		k.taken[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.taken, key)
		}
	}
}
