package notify

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/expression"
	"github.com/peyk/peyk/internal/notify/service"
	"github.com/peyk/peyk/internal/tenancy"
)

// CheckAlert returns an error that says what of an Alert has no effect, and how to mend it.
func CheckAlert(alert *v1beta3.Alert, policy tenancy.Policy) error {
	var wrong []error
	for i, source := range alert.Spec.EventSources {
		if err := policy.CheckRef(alert.Namespace, source.Namespace, fmt.Sprintf("spec.eventSources[%d]", i)); err != nil {
			wrong = append(wrong, err)
		}
	}
	for _, list := range []struct {
		field       string
		expressions []string
	}{{"spec.inclusionList", alert.Spec.InclusionList}, {"spec.exclusionList", alert.Spec.ExclusionList}} {
		for i, text := range list.expressions {
			if _, err := regexp.Compile(text); err != nil {
				wrong = append(wrong, fmt.Errorf("%s[%d]: matches nothing, for it is not a regular expression of Go: %w", list.field, i, err))
			}
		}
	}
	return errors.Join(wrong...)
}

// CheckProvider returns an error that says why nothing can be sent to a Provider, and how to mend it. It calls nobody.
func CheckProvider(ctx context.Context, reader client.Reader, p *v1beta3.Provider) error {
	if err := service.CheckType(p.Spec.Type); err != nil {
		return err
	}
	if p.Spec.CommitStatusExpr != "" {
		if _, err := expression.Compile(p.Spec.CommitStatusExpr, expression.String, StatusVariables()...); err != nil {
			return fmt.Errorf("spec.commitStatusExpr: %w", err)
		}
	}
	t, hidden, err := target(ctx, reader, p)
	if err == nil {
		t.CommitStatus = "name"
		_, err = service.New(t)
	}
	if err != nil {
		return errors.New(hidden.mask(err.Error()))
	}
	return nil
}
