package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/expression"
	"github.com/peyk/peyk/internal/reconcile"
)

// checkDependencies waits until every dependency is ready, and has applied the same revision when it has the same source.
// A readyExpr takes the place of both.
func (p *pass) checkDependencies(ctx context.Context) error {
	if err := p.checkCycle(ctx); err != nil {
		return err
	}
	for i, key := range dependenciesOf(p.obj) {
		if err := p.policy.CheckRef(p.obj.Namespace, key.Namespace, fmt.Sprintf("spec.dependsOn[%d]", i)); err != nil {
			return err
		}
		dependency := &ksv1.Kustomization{}
		err := p.reader.Get(ctx, key, dependency)
		if apierrors.IsNotFound(err) {
			return p.notReady(fmt.Sprintf("dependency %s not found: create it, or correct spec.dependsOn", key))
		}
		if err != nil {
			return reconcile.Failf(meta.DependencyNotReadyReason, "reading dependency %s: %w", key, err)
		}
		if source := p.obj.Spec.DependsOn[i].ReadyExpr; source != "" {
			err = p.evaluate(ctx, fmt.Sprintf("spec.dependsOn[%d].readyExpr", i), source, dependency)
		} else {
			err = p.checkDependency(dependency)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) checkDependency(dependency *ksv1.Kustomization) error {
	key := dependency.Namespace + "/" + dependency.Name
	if !reconcile.IsReady(dependency, dependency.Status.ObservedGeneration) {
		return p.notReady(fmt.Sprintf("dependency %s is not ready", key))
	}
	if sourceOf(dependency) == sourceOf(p.obj) && dependency.Status.LastAppliedRevision != p.source.Revision {
		return p.notReady(fmt.Sprintf("dependency %s has not applied revision %s yet", key, p.source.Revision))
	}
	return nil
}

// evaluate waits until a readyExpr is true.
func (p *pass) evaluate(ctx context.Context, field, source string, dependency *ksv1.Kustomization) error {
	compiled, err := expression.Compile(source, expression.Bool, "self", "dep")
	if err != nil {
		return reconcile.Stallf(meta.InvalidCELExpressionReason, "%s: %w", field, err)
	}
	values := map[string]any{}
	for name, obj := range map[string]*ksv1.Kustomization{"self": p.obj, "dep": dependency} {
		if values[name], err = runtime.DefaultUnstructuredConverter.ToUnstructured(obj); err != nil {
			return reconcile.Failf(meta.DependencyNotReadyReason, "reading the fields of %s/%s: %w", obj.Namespace, obj.Name, err)
		}
	}
	key := dependency.Namespace + "/" + dependency.Name
	ready, err := compiled.Bool(ctx, values)
	if err != nil {
		return p.notReady(fmt.Sprintf("dependency %s is not ready: %s: %v", key, field, err))
	}
	if !ready {
		return p.notReady(fmt.Sprintf("dependency %s is not ready according to %s", key, field))
	}
	return nil
}

func (p *pass) notReady(message string) error {
	return reconcile.Wait(meta.DependencyNotReadyReason, message, p.safetyNet())
}

// checkCycle refuses a dependency of an object on itself, by whatever way.
func (p *pass) checkCycle(ctx context.Context) error {
	self := types.NamespacedName{Namespace: p.obj.Namespace, Name: p.obj.Name}
	seen := map[types.NamespacedName]bool{}
	var walk func(obj *ksv1.Kustomization, path []string) error
	walk = func(obj *ksv1.Kustomization, path []string) error {
		for _, key := range dependenciesOf(obj) {
			if key == self {
				return reconcile.Stall(reasonInvalid, errors.New("spec.dependsOn goes in a circle: "+strings.Join(append(path, key.String()), " > ")))
			}
			if seen[key] {
				continue
			}
			seen[key] = true
			next := &ksv1.Kustomization{}
			if p.reader.Get(ctx, key, next) != nil {
				continue
			}
			if err := walk(next, append(path, key.String())); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(p.obj, []string{self.String()})
}

func dependenciesOf(obj *ksv1.Kustomization) []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(obj.Spec.DependsOn))
	for _, d := range obj.Spec.DependsOn {
		key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
		if key.Namespace == "" {
			key.Namespace = obj.Namespace
		}
		keys = append(keys, key)
	}
	return keys
}
