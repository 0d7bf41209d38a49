package helmrelease

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/expression"
)

// healthRules are spec.healthCheckExprs.
type healthRules struct {
	of map[schema.GroupVersionKind]*expression.Health
}

func compileHealth(exprs []kustomize.CustomHealthCheck) (*healthRules, error) {
	rules := &healthRules{of: map[schema.GroupVersionKind]*expression.Health{}}
	for i, e := range exprs {
		compiled, err := expression.CompileHealth(e.Current, e.InProgress, e.Failed)
		if err != nil {
			return nil, fmt.Errorf("spec.healthCheckExprs[%d].%w", i, err)
		}
		rules.of[schema.FromAPIVersionAndKind(e.APIVersion, e.Kind)] = compiled
	}
	return rules, nil
}

// judge returns how an object is, and false when no expression is about its kind.
func (r *healthRules) judge(ctx context.Context, obj *unstructured.Unstructured) (apply.State, bool) {
	health := r.of[obj.GroupVersionKind()]
	if health == nil {
		return apply.State{}, false
	}
	verdict, err := health.Judge(ctx, obj.Object)
	if err != nil {
		return apply.State{Health: apply.HealthInProgress, Message: err.Error()}, true
	}
	switch verdict {
	case expression.Current:
		return apply.State{Health: apply.HealthCurrent}, true
	case expression.Failed:
		return apply.State{Health: apply.HealthFailed}, true
	}
	return apply.State{Health: apply.HealthInProgress}, true
}
