// Package expression compiles and evaluates the CEL expressions that people write into the fields of objects, with the
// functions that Flux offers and a bound on the work that one evaluation may do.
package expression

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

// Result is the type that an expression is asked to have.
type Result int

// The types of expressions.
const (
	Any Result = iota
	Bool
	String
)

// costLimit bounds one evaluation, in CEL's units; the API server allows as much for one call. Around a tenth of a second.
const costLimit = 1_000_000

// maxSource is the longest expression, in bytes.
const maxSource = 16 << 10

// ErrTooLong is the error of an expression that is longer than any that a person writes.
var ErrTooLong = fmt.Errorf("is longer than %d KiB", maxSource>>10)

// Expression is a compiled expression. It is safe for concurrent use.
type Expression struct {
	source  string
	program cel.Program
}

// base is the environment without variables; making it costs more than compiling an expression.
var base = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders(),
	)
})

// Compile compiles source, which may use the variables: JSON objects. The error says what is wrong with the source and
// where; it does not name the field.
func Compile(source string, result Result, variables ...string) (*Expression, error) {
	if len(source) > maxSource {
		return nil, ErrTooLong
	}
	env, err := base()
	if err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	options := make([]cel.EnvOption, len(variables))
	for i, name := range variables {
		options[i] = cel.Variable(name, cel.ObjectType("google.protobuf.Struct"))
	}
	if env, err = env.Extend(options...); err != nil {
		return nil, fmt.Errorf("preparing CEL: %w", err)
	}
	ast, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, fmt.Errorf("is not valid CEL: %w", issues.Err())
	}
	want := map[Result]*cel.Type{Bool: types.BoolType, String: types.StringType}[result]
	if want != nil && ast.OutputType() != want {
		return nil, fmt.Errorf("%q is a %s and must be a %s", source, ast.OutputType(), want)
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.InterruptCheckFrequency(100), cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("is not valid CEL: %w", err)
	}
	return &Expression{source: source, program: program}, nil
}

// Source returns the text of the expression.
func (e *Expression) Source() string { return e.source }

// Bool evaluates the expression with values for its variables.
func (e *Expression) Bool(ctx context.Context, values map[string]any) (bool, error) {
	result, err := e.Value(ctx, values)
	if err != nil {
		return false, err
	}
	b, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("evaluating %q: the result is not a bool", e.source)
	}
	return b, nil
}

// String evaluates the expression with values for its variables.
func (e *Expression) String(ctx context.Context, values map[string]any) (string, error) {
	result, err := e.Value(ctx, values)
	if err != nil {
		return "", err
	}
	s, ok := result.(string)
	if !ok {
		return "", fmt.Errorf("evaluating %q: the result is not a string", e.source)
	}
	return s, nil
}

// Value evaluates the expression with values for its variables.
func (e *Expression) Value(ctx context.Context, values map[string]any) (any, error) {
	result, _, err := e.program.ContextEval(ctx, values)
	if err != nil {
		return nil, fmt.Errorf("evaluating %q: %w", e.source, errors.Join(err, ctx.Err()))
	}
	return result.Value(), nil
}
