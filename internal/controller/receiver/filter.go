package receiver

import (
	"context"
	"encoding/json"
	"fmt"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/expression"
)

// Filters are the compiled filters of a Receiver.
type Filters struct {
	all *expression.Expression
	// each has an entry for each resource; nil lets everything through.
	each []*expression.Expression
}

// CompileFilters compiles spec.resourceFilter and the filters of the resources. The error names the field.
func CompileFilters(obj *notificationv1.Receiver) (*Filters, error) {
	variables := []string{"res", "req"}
	if obj.Spec.Type == notificationv1.GenericOIDCReceiver {
		variables = append(variables, "claims")
	}
	compile := func(field, source string) (*expression.Expression, error) {
		if source == "" {
			return nil, nil
		}
		e, err := expression.Compile(source, expression.Bool, variables...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		return e, nil
	}
	f := &Filters{each: make([]*expression.Expression, len(obj.Spec.Resources))}
	var err error
	if f.all, err = compile("spec.resourceFilter", obj.Spec.ResourceFilter); err != nil {
		return nil, err
	}
	for i, resource := range obj.Spec.Resources {
		if f.each[i], err = compile(fmt.Sprintf("spec.resources[%d].filter", i), resource.Filter); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Has says whether there is a filter for the i-th resource.
func (f *Filters) Has(i int) bool { return f.all != nil || f.each[i] != nil }

// Accepts says whether the filters let an object through that the i-th resource names, given the payload of the webhook
// and the claims of its token.
func (f *Filters) Accepts(ctx context.Context, i int, obj client.Object, payload, claims map[string]any) (bool, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return false, fmt.Errorf("encoding the object for the filters: %w", err)
	}
	res := map[string]any{}
	if err := json.Unmarshal(data, &res); err != nil {
		return false, fmt.Errorf("decoding the object for the filters: %w", err)
	}
	values := map[string]any{"res": res, "req": payload, "claims": claims}
	for _, e := range []*expression.Expression{f.all, f.each[i]} {
		if e == nil {
			continue
		}
		if ok, err := e.Bool(ctx, values); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
