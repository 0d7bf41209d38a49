package helmrelease

import (
	"context"
	"fmt"
	"strings"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/expression"
	"github.com/peyk/peyk/internal/reconcile"
)

// checkDependencies waits until every dependency is ready. A dependency that becomes so wakes the HelmRelease.
func (p *pass) checkDependencies(ctx context.Context) error {
	err := p.awaitDependencies(ctx)
	if err == nil || reconcile.IsFailure(err) {
		return err
	}
	if circle := p.circle(ctx, p.obj, nil, map[types.NamespacedName]bool{}); circle != nil {
		return reconcile.Stallf(reasonInvalid, "spec.dependsOn goes in a circle: %s; take one of them out", strings.Join(circle, " > "))
	}
	return err
}

// circle returns the way on which the HelmRelease depends on itself by way of obj, nil when there is none. It begins with
// the way to obj. A dependency with an expression may be met before it is ready, and is not followed.
func (p *pass) circle(ctx context.Context, obj *v2.HelmRelease, way []string, seen map[types.NamespacedName]bool) []string {
	way = append(way, client.ObjectKeyFromObject(obj).String())
	for _, d := range obj.Spec.DependsOn {
		key, next := dependencyKey(obj, d), &v2.HelmRelease{}
		if key == p.key && d.ReadyExpr == "" {
			return append(way, key.String())
		}
		if d.ReadyExpr != "" || seen[key] || p.client.Get(ctx, key, next) != nil {
			continue
		}
		seen[key] = true
		if found := p.circle(ctx, next, way, seen); found != nil {
			return found
		}
	}
	return nil
}

func (p *pass) awaitDependencies(ctx context.Context) error {
	for i, d := range p.obj.Spec.DependsOn {
		field := fmt.Sprintf("spec.dependsOn[%d]", i)
		key := dependencyKey(p.obj, d)
		if err := p.Policy.CheckRef(p.obj.Namespace, key.Namespace, field); err != nil {
			return err
		}
		if key == p.key {
			return reconcile.Stallf(reasonInvalid, "%s: a HelmRelease cannot depend on itself", field)
		}
		dependency := &v2.HelmRelease{}
		err := p.client.Get(ctx, key, dependency)
		if apierrors.IsNotFound(err) {
			return notReady("unable to get '%s' dependency: HelmRelease not found", key)
		}
		if err != nil {
			return reconcile.Failf(v2.DependencyNotReadyReason, "reading dependency %s: %w", key, err)
		}
		if d.ReadyExpr != "" {
			if err := p.checkExpression(ctx, field, d.ReadyExpr, dependency); err != nil {
				return err
			}
			continue
		}
		if !reconcile.IsReady(dependency, dependency.Status.ObservedGeneration) {
			return notReady("dependency '%s' is not ready", key)
		}
	}
	return nil
}

func notReady(format string, args ...any) error {
	return reconcile.Wait(v2.DependencyNotReadyReason, fmt.Sprintf(format, args...), dependencyNet)
}

func (p *pass) checkExpression(ctx context.Context, field, source string, dependency *v2.HelmRelease) error {
	compiled, err := expression.Compile(source, expression.Bool, "self", "dep")
	if err != nil {
		return reconcile.Stallf(meta.InvalidCELExpressionReason, "%s.readyExpr: %w", field, err)
	}
	self, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p.obj)
	if err != nil {
		return reconcile.Failf(v2.DependencyNotReadyReason, "%s: %w", field, err)
	}
	dep, err := runtime.DefaultUnstructuredConverter.ToUnstructured(dependency)
	if err != nil {
		return reconcile.Failf(v2.DependencyNotReadyReason, "%s: %w", field, err)
	}
	ready, err := compiled.Bool(ctx, map[string]any{"self": self, "dep": dep})
	if err != nil {
		return notReady("%s.readyExpr: %s", field, err)
	}
	if !ready {
		return notReady("dependency '%s/%s' is not ready according to readyExpr eval", dependency.Namespace, dependency.Name)
	}
	return nil
}
