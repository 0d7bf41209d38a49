package cli_test

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/peyk/peyk/internal/cli"
	"github.com/peyk/peyk/internal/reconcile"
)

// controller plays Peyk: it answers a request with a Ready condition of the given status.
func controller(t *testing.T, status, message string) interceptor.Funcs {
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := c.Patch(ctx, obj, patch, opts...); err != nil {
				return err
			}
			live := &unstructured.Unstructured{}
			live.SetGroupVersionKind(obj.GetObjectKind().GroupVersionKind())
			if err := c.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
				return err
			}
			token := live.GetAnnotations()[reconcile.RequestAnnotation]
			if token == "" {
				t.Errorf("%s was patched without a request", live.GetName())
			}
			fields := map[string]any{
				"lastHandledReconcileAt": token,
				"conditions": []any{map[string]any{
					"type": "Ready", "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z",
				}},
			}
			for name, value := range fields {
				if err := unstructured.SetNestedField(live.Object, value, "status", name); err != nil {
					return err
				}
			}
			return c.Update(ctx, live)
		},
	}
}

func TestReconcile(t *testing.T) {
	cases := map[string]struct {
		line, status, message string
		code                  int
	}{
		"reconcile-ks":          {"reconcile ks apps", "True", "ok", cli.ExitOK},
		"reconcile-with-source": {"reconcile kustomization apps --with-source", "True", "ok", cli.ExitOK},
		"reconcile-source":      {"reconcile source git deploy", "True", "ok", cli.ExitOK},
		"reconcile-pack":        {"reconcile pack postgres", "True", "ok", cli.ExitOK},
		"reconcile-failed":      {"reconcile pack postgres", "False", "chart postgres 9 does not exist: the newest is 0.6.3", cli.ExitFailed},
		"reconcile-suspended":   {"reconcile ks paused", "True", "ok", cli.ExitFailed},
		"reconcile-too-long":    {"reconcile pack postgres --timeout 50ms", "Unknown", "1 of 2 objects ready", cli.ExitFailed},
		"reconcile-unknown":     {"reconcile pack new --with-source", "True", "ok", cli.ExitFailed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			app := newApp(newClient(t, controller(t, c.status, c.message), inventory()...))
			stdout, stderr, code := run(t, app, strings.Fields(c.line)...)
			if code != c.code {
				t.Errorf("exit code = %d, want %d", code, c.code)
			}
			golden(t, name, stdout+stderr)
		})
	}
}

func TestNobodyHandlesTheRequest(t *testing.T) {
	app := newApp(newClient(t, interceptor.Funcs{}, inventory()...))
	_, stderr, code := run(t, app, "reconcile", "pack", "postgres", "--timeout", "50ms")
	if code != cli.ExitFailed || !strings.Contains(stderr, "check that it runs") {
		t.Errorf("exit code %d and %q, want 1 and where to look", code, stderr)
	}
}
