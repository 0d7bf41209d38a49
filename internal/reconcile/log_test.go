package reconcile

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Who asks for errors in the log gets failures, and not what waits for others.
func TestFailuresAreLoggedAsErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"failure": {Failf("Broken", "boom"), "level=ERROR"},
		"stall":   {Stallf("Broken", "boom"), "level=ERROR"},
		"wait":    {Wait("Missing", "boom", time.Second), "level=INFO"},
		"ready":   {nil, "level=INFO"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ctx := log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewTextHandler(&out, nil)))
			b := newBench(t, func(context.Context) error { return tt.err }, nil)
			if _, err := b.runner.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "b", Name: "a"}}); err != nil {
				t.Fatal(err)
			}
			if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), tt.want) {
				t.Errorf("the log is %q, want one line with %s", out.String(), tt.want)
			}
		})
	}
}
