package secretreflector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// pass is the state that the phases of one pass share.
type pass struct {
	*Controller
	obj *packv1.SecretReflector
	key types.NamespacedName

	actor   *kube.Client
	memo    memo
	targets map[string]packv1.ReflectorTarget
	content *content // nil: not read in this pass
	summary summary
}

// content is what a copy holds. It lives for one pass.
type content struct {
	secretType string
	data       map[string]any // in base64
}

func (c *content) digest() string {
	text, _ := json.Marshal([]any{c.secretType, c.data}) // strings and a map of strings
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func contentOf(secret *unstructured.Unstructured) *content {
	c := &content{}
	c.secretType, _, _ = unstructured.NestedString(secret.Object, "type")
	c.data, _ = secret.Object["data"].(map[string]any)
	if c.data == nil {
		c.data = map[string]any{}
	}
	return c
}

// findSource finds out whether the Secret is another one than before. It is read only then.
func (p *pass) findSource(ctx context.Context) (err error) {
	if p.actor, err = p.Controller.actor(p.key.Namespace); err != nil {
		return reconcile.Fail(reasonFailed, err)
	}
	p.memo = p.remembered(p.key)
	name := p.source()
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(secretKind)
	err = p.cached.Get(ctx, name, meta)
	if apierrors.IsNotFound(err) {
		return p.noSource()
	}
	if err != nil {
		return reconcile.Failf(reasonFailed, "reading the metadata of Secret %s: %w", name, err)
	}
	// The keys are part of what was read.
	version := meta.ResourceVersion + " " + strings.Join(slices.Sorted(slices.Values(p.obj.Spec.Keys)), ",")
	if p.memo.source == version && p.memo.loaded {
		return nil
	}
	if err := p.read(ctx); err != nil {
		return err
	}
	var found map[string]known
	if !p.memo.loaded {
		if found, err = p.compare(ctx); err != nil {
			return reconcile.Failf(reasonFailed, "reading the copies: %w", err)
		}
	}
	p.remember(p.key, func(m *memo) {
		m.source, m.digest, m.loaded = version, p.content.digest(), true
		maps.Copy(m.copies, found)
	})
	p.memo = p.remembered(p.key)
	p.obj.Status.SourceVersion = meta.ResourceVersion
	return nil
}

func (p *pass) source() types.NamespacedName {
	return types.NamespacedName{Namespace: p.key.Namespace, Name: p.obj.Spec.SecretRef.Name}
}

func (p *pass) noSource() error {
	return reconcile.Wait(reasonSource, fmt.Sprintf("spec.secretRef: there is no Secret %s; create it or correct the name; copies stay as they are", p.source()), safetyNet)
}

// read reads the Secret, with the rights of its namespace.
func (p *pass) read(ctx context.Context) error {
	if p.content != nil {
		return nil
	}
	secret, err := p.actor.Get(ctx, secretKind, p.key.Namespace, p.obj.Spec.SecretRef.Name)
	if apierrors.IsNotFound(err) {
		return p.noSource()
	}
	if err != nil {
		return reconcile.Failf(reasonSource, "spec.secretRef: reading Secret %s: %w", p.source(), err)
	}
	made := contentOf(secret)
	if made.secretType == string(corev1.SecretTypeServiceAccountToken) {
		return reconcile.Wait(reasonSource, fmt.Sprintf("spec.secretRef: Secret %s is the token of a service account, which is good for nothing elsewhere; name another one", p.source()), safetyNet)
	}
	if len(p.obj.Spec.Keys) > 0 {
		all := made.data
		made.data = map[string]any{}
		for _, key := range p.obj.Spec.Keys {
			value, ok := all[key]
			if !ok {
				return reconcile.Wait(reasonSource, fmt.Sprintf("spec.keys: Secret %s has no key %s; add it, or take it out of the list; copies stay as they are", p.source(), key), safetyNet)
			}
			made.data[key] = value
		}
	}
	p.content = made
	return nil
}

// copy makes the copies, and removes those that are not wanted any more.
func (p *pass) copy(ctx context.Context) error {
	copies, err := p.copies(ctx)
	if err != nil {
		return reconcile.Failf(reasonFailed, "listing the copies: %w", err)
	}
	todo := p.plan(copies)
	if len(todo) > 0 {
		if err := p.read(ctx); err != nil {
			return err
		}
	}
	p.writeAll(ctx, todo)
	problem := p.removeUnwanted(ctx, copies)
	p.summary = summarize(p.targets)
	p.obj.Status.Targets = p.summary.list
	p.obj.Status.Synced = fmt.Sprintf("%d/%d", p.summary.synced, p.summary.of)
	if problem != nil {
		return reconcile.Fail(reasonFailed, problem)
	}
	return p.summary.err()
}

// err is what is wrong with the targets. Conflicts and refusals end by what watches tell; failures are tried again.
func (s summary) err() error {
	if s.wrong == 0 {
		return nil
	}
	message := fmt.Sprintf("%d of %d targets have no copy: %s", s.wrong, s.of, strings.Join(s.problems, "; "))
	if more := s.wrong - len(s.problems); more > 0 {
		message += fmt.Sprintf("; and %d more, see status.targets", more)
	}
	if s.failed {
		return reconcile.Fail(reasonFailed, errors.New(message))
	}
	if s.denied == s.wrong {
		return reconcile.Wait(tenancy.AccessDenied, message, safetyNet)
	}
	return reconcile.Wait(reasonConflict, message, safetyNet)
}

// plan returns the namespaces whose copy is not known to be right, and notes those where it is.
func (p *pass) plan(copies map[client.ObjectKey]*metav1.PartialObjectMetadata) []string {
	var todo []string
	lagging := false
	for namespace, target := range p.targets {
		if target.State != "" {
			continue
		}
		live := copies[client.ObjectKey{Namespace: namespace, Name: p.obj.CopyName()}]
		k, ok := p.memo.copies[namespace]
		switch {
		case !ok || k.digest != p.memo.digest:
			todo = append(todo, namespace)
		case live == nil && p.clock.Since(k.at) < lag, live != nil && !kube.Newer(live.ResourceVersion, k.version):
			lagging = lagging || live == nil
			target.State = packv1.TargetSynced
			p.targets[namespace] = target
		default:
			todo = append(todo, namespace)
		}
	}
	p.remember(p.key, func(m *memo) { m.lagging = lagging })
	slices.Sort(todo)
	return todo
}

func (p *pass) ready() (reason, message string) {
	message = fmt.Sprintf("Secret %s is copied into %d namespaces", p.obj.Spec.SecretRef.Name, p.summary.synced)
	if p.summary.awaited > 0 {
		message += fmt.Sprintf("; %d are awaited", p.summary.awaited)
	}
	return reconcile.ReasonSucceeded, message
}
