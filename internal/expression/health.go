package expression

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Verdict is what health expressions say of an object.
type Verdict int

// The verdicts.
const (
	InProgress Verdict = iota
	Failed
	Current
)

// Health judges an object by expressions over its fields. It is safe for concurrent use.
type Health struct {
	inProgress, failed, current *Expression
}

// CompileHealth compiles health expressions. The fields of the object are the variables, so that a kind may have any
// fields; therefore types are not checked before there is an object. inProgress and failed may be empty. The error says
// which expression is wrong.
func CompileHealth(current, inProgress, failed string) (*Health, error) {
	if current == "" {
		return nil, errors.New("current: an expression is required")
	}
	h := &Health{}
	for _, e := range []struct {
		field, source string
		into          **Expression
	}{{"current", current, &h.current}, {"inProgress", inProgress, &h.inProgress}, {"failed", failed, &h.failed}} {
		if e.source == "" {
			continue
		}
		parsed, err := parse(e.source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.field, err)
		}
		*e.into = parsed
	}
	return h, nil
}

// parse makes an Expression whose variables are not declared.
func parse(source string) (*Expression, error) {
	if len(source) > maxSource {
		return nil, ErrTooLong
	}
	env, err := base()
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := env.Parse(source)
	if issues.Err() != nil {
		return nil, fmt.Errorf("is not valid CEL: %w", issues.Err())
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.InterruptCheckFrequency(100), cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("is not valid CEL: %w", err)
	}
	return &Expression{source: source, program: program}, nil
}

// Judge says how an object is, in the order that Flux asks: is it in progress, has it failed, is it current. An object
// whose controller has not seen its newest generation is in progress, whatever the expressions say. An error means that
// an expression cannot be evaluated for the object as it is now, which a later state of the object may mend.
func (h *Health) Judge(ctx context.Context, object map[string]any) (Verdict, error) {
	observed, found, err := unstructured.NestedInt64(object, "status", "observedGeneration")
	if err == nil && found {
		generation, found, err := unstructured.NestedInt64(object, "metadata", "generation")
		if err == nil && found && generation != observed {
			return InProgress, nil
		}
	}
	for _, e := range []struct {
		expression *Expression
		verdict    Verdict
	}{{h.inProgress, InProgress}, {h.failed, Failed}, {h.current, Current}} {
		if e.expression == nil {
			continue
		}
		yes, err := e.expression.Bool(ctx, object)
		if err != nil {
			return InProgress, err
		}
		if yes {
			return e.verdict, nil
		}
	}
	return InProgress, nil
}
