package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/server"
)

const (
	// lookForKinds is how often the API server is asked for kinds that it does not serve yet, sayWaiting how often that is
	// logged.
	lookForKinds = time.Second
	sayWaiting   = 30 * time.Second
)

// awaitKinds returns when the cluster serves every kind that Peyk reconciles: it is often installed together with their
// definitions, which the API server takes a moment to serve. Until then the process is alive, and not ready.
func awaitKinds(ctx context.Context, mgr ctrl.Manager, o Options) error {
	kinds, err := ownKinds(mgr.GetScheme())
	if err != nil {
		return err
	}
	missing, err := notServed(mgr.GetRESTMapper(), kinds)
	if err != nil || len(missing) == 0 {
		return err
	}
	health, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() {
		stopped <- server.New("health", o.HTTPAddr, o.Log, []server.Route{
			{Pattern: "GET /healthz", Handler: server.Healthz()},
			{Pattern: "GET /readyz", Handler: server.Readyz(func(context.Context) error {
				return errors.New("waiting for the definitions of Peyk's kinds")
			})},
		}).Start(health)
	}()
	for said := (time.Time{}); len(missing) > 0 && err == nil; missing, err = notServed(mgr.GetRESTMapper(), missing) {
		if time.Since(said) > sayWaiting {
			o.Log.Info("waiting for the API server to serve Peyk's kinds: 'peyk install' adds their definitions", "missing", missing)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			stop()
			return errors.Join(ctx.Err(), <-stopped)
		case err := <-stopped:
			stop()
			return err
		case <-time.After(lookForKinds):
		}
	}
	stop()
	return errors.Join(err, <-stopped)
}

// ownKinds are the kinds of which Peyk has the definitions, in the versions that it knows by type.
func ownKinds(scheme *runtime.Scheme) ([]schema.GroupVersionKind, error) {
	definitions, err := crds.All()
	if err != nil {
		return nil, err
	}
	var kinds []schema.GroupVersionKind
	for _, definition := range definitions {
		group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
		for _, v := range versions {
			version, _ := v.(map[string]any)
			name, _ := version["name"].(string)
			if gvk := (schema.GroupVersionKind{Group: group, Version: name, Kind: kind}); scheme.Recognizes(gvk) {
				kinds = append(kinds, gvk)
			}
		}
	}
	return kinds, nil
}

// notServed returns those of kinds that the cluster does not serve.
func notServed(mapper meta.RESTMapper, kinds []schema.GroupVersionKind) ([]schema.GroupVersionKind, error) {
	var missing []schema.GroupVersionKind
	for _, kind := range kinds {
		_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		_, unanswered := errors.AsType[*apiutil.ErrResourceDiscoveryFailed](err)
		switch {
		case err == nil:
		case meta.IsNoMatchError(err), unanswered:
			missing = append(missing, kind)
		default:
			return nil, fmt.Errorf("asking the cluster for %s: %w", kind, err)
		}
	}
	return missing, nil
}
