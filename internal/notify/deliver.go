package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/notification-controller/api/v1beta3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/expression"
	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/notify/service"
)

// obsolete says that nobody wants a notification any more.
type obsolete struct{ why string }

func (o obsolete) Error() string { return o.why }

// deliver sends one notification. Alert and Provider are read anew, so what was mended in them counts for what waits.
func (b *Bus) deliver(ctx context.Context, provider types.NamespacedName, i item) (*v1beta3.Alert, string, error) {
	alert, p := &v1beta3.Alert{}, &v1beta3.Provider{}
	err := b.reader.Get(ctx, i.Alert, alert)
	switch {
	case apierrors.IsNotFound(err):
		return nil, "", obsolete{"the Alert is gone"}
	case err != nil:
		return nil, "", fmt.Errorf("reading the Alert: %w", err)
	case alert.Spec.Suspend:
		return alert, "", obsolete{"the Alert is suspended"}
	case alert.Spec.ProviderRef.Name != provider.Name:
		return alert, "", obsolete{"the Alert has another Provider now"}
	}
	err = b.reader.Get(ctx, provider, p)
	if apierrors.IsNotFound(err) {
		return alert, "", fmt.Errorf("spec.providerRef: there is no Provider %s in namespace %s; create it or correct the name", provider.Name, provider.Namespace)
	}
	if err != nil {
		return alert, "", fmt.Errorf("reading Provider %s: %w", provider.Name, err)
	}
	if p.Spec.Suspend || !wants(p.Spec.Type, &i.Event) {
		return alert, p.Spec.Type, obsolete{"the Provider does not want it"}
	}
	e, conflicts := combine(i.Event, alert)
	if len(conflicts) > 0 {
		b.warn(alert, "MetadataAppendFailed", "metadata key conflicts: "+strings.Join(conflicts, ", ")+": rename the keys in spec.eventMetadata, or in the annotations of the object")
	}
	return alert, p.Spec.Type, b.send(ctx, alert, p, e)
}

func (b *Bus) send(ctx context.Context, alert *v1beta3.Alert, p *v1beta3.Provider, e event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, p.GetTimeout())
	defer cancel()
	t, hidden, err := target(ctx, b.reader, p)
	if err != nil {
		return fmt.Errorf("Provider %s: %s", p.Name, hidden.mask(err.Error())) //nolint:staticcheck // a kind's name
	}
	defer t.Client.CloseIdleConnections()
	if service.IsGit(p.Spec.Type) {
		if t.CommitStatus, err = commitStatus(ctx, alert, p, e); err != nil {
			return fmt.Errorf("Provider %s: %w", p.Name, err) //nolint:staticcheck // a kind's name
		}
	}
	sender, err := service.New(t)
	if err == nil {
		err = sender.Send(ctx, e)
	}
	if err != nil {
		return &sendError{fmt.Sprintf("Provider %s: %s", p.Name, hidden.mask(err.Error())), err}
	}
	return nil
}

// sendError is an error of a service without the secrets that it may show.
type sendError struct {
	message string
	cause   error
}

func (e *sendError) Error() string { return e.message }

// permanent says whether an item can never be delivered, and after how long its service asks to be called again.
func permanent(err error) (bool, time.Duration) {
	sent, ok := errors.AsType[*sendError](err)
	if !ok {
		return false, 0
	}
	if errors.Is(sent.cause, service.ErrUnsuitable) {
		return true, 0
	}
	if refused, ok := errors.AsType[*service.RefusedError](sent.cause); ok {
		return refused.Permanent(), refused.After
	}
	return false, 0
}

// StatusVariables are the variables of spec.commitStatusExpr.
func StatusVariables() []string { return []string{"event", "alert", "provider"} }

// commitStatus is the name of the status that an event sets: what the Provider's expression gives, or one that is
// different for every object and every cluster.
func commitStatus(ctx context.Context, alert *v1beta3.Alert, p *v1beta3.Provider, e event.Event) (string, error) {
	if p.Spec.CommitStatusExpr == "" {
		uid, _, _ := strings.Cut(string(p.UID), "-")
		return strings.ToLower(e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name + "/" + uid), nil
	}
	compiled, err := expression.Compile(p.Spec.CommitStatusExpr, expression.String, StatusVariables()...)
	if err != nil {
		return "", fmt.Errorf("spec.commitStatusExpr: %w", err)
	}
	values := map[string]any{}
	for name, obj := range map[string]any{"event": &e, "alert": alert, "provider": p} {
		if values[name], err = runtime.DefaultUnstructuredConverter.ToUnstructured(obj); err != nil {
			return "", fmt.Errorf("spec.commitStatusExpr: reading the %s: %w", name, err)
		}
	}
	name, err := compiled.String(ctx, values)
	if err != nil {
		return "", fmt.Errorf("spec.commitStatusExpr: %w", err)
	}
	return name, nil
}
