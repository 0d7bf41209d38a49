// Package operator wires Peyk's long-running process together: scheme, manager, engines, the list of controllers and the
// HTTP servers.
package operator

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/peyk/peyk/internal/tenancy"
)

// Options configure the process.
type Options struct {
	// Config is how to reach the cluster.
	Config *rest.Config
	// Namespace that Peyk runs in.
	Namespace string
	// HTTPAddr serves webhooks and health, MetricsAddr serves /metrics, ArtifactAddr serves artifacts to other programs.
	// ArtifactAddr and MetricsAddr are for inside the cluster.
	HTTPAddr, MetricsAddr, ArtifactAddr string
	// APIAddr serves the cluster's API server, over TLS: admission and the reviews of Packs. Empty: nobody does.
	APIAddr string
	// PprofAddr serves Go's profiles. Empty: nobody does.
	PprofAddr string
	// ArtifactURL is the base of the artifact URLs in statuses. Default: Peyk's Service and the port of ArtifactAddr.
	ArtifactURL string
	// ArtifactRecords is how many artifacts of each object are kept, and ArtifactTTL how long every one is after a newer one
	// took its place. Zero: the store's own.
	ArtifactRecords int
	ArtifactTTL     time.Duration
	// DataDir is where artifacts, Git mirrors and charts are kept. It may be lost: everything in it is fetched again.
	DataDir string
	// Concurrent is how many objects of each kind are worked on at the same time.
	Concurrent int
	// LeaderElect lets only one of several replicas work.
	LeaderElect bool
	// Tenancy is what tenants may do to each other.
	Tenancy tenancy.Policy
	// ReflectFrom are namespaces whose SecretReflectors write into every namespace, whatever Tenancy says.
	ReflectFrom []string
	// RedeployAfter is how long nothing may have changed of what a workload watches before its pods are rolled. Zero: the
	// controller's own.
	RedeployAfter time.Duration
	// SkipMark is added to the messages of Peyk's commits, such as "[skip ci]". Empty: nothing is.
	SkipMark string
	// SOPSAgeSecret names the Secret, in Namespace, with the age keys for Kustomizations that decrypt and name none.
	SOPSAgeSecret string
	Log           *slog.Logger
}

// Run reconciles until ctx is done. It returns an error when the process cannot start or has to stop.
func Run(ctx context.Context, o Options) error {
	log.SetLogger(logr.FromSlogHandler(lazyLog{Handler: o.Log.Handler()}))
	mgr, err := newManager(o)
	if err != nil {
		return err
	}
	if err := awaitKinds(ctx, mgr, o); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	shared, err := newEngines(mgr, o)
	if err != nil {
		return err
	}
	if err := addControllers(mgr, shared, o); err != nil {
		return err
	}
	if err := addServers(mgr, shared, o); err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running the operator: %w", err)
	}
	return nil
}

func newManager(o Options) (ctrl.Manager, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(o.Config)
	config.QPS = -1 // the API server has its own priority and fairness
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddr},
		HealthProbeBindAddress:        "0",
		PprofBindAddress:              o.PprofAddr,
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              "peyk",
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		Cache:                         cache.Options{DefaultTransform: withoutLeftovers},
		Client: client.Options{Cache: &client.CacheOptions{
			DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return mgr, nil
}

func (o Options) artifactURL() string {
	if o.ArtifactURL != "" {
		return o.ArtifactURL
	}
	return fmt.Sprintf("http://peyk.%s.svc.cluster.local.:9790", o.Namespace)
}

func (o Options) ageSecret() types.NamespacedName {
	if o.SOPSAgeSecret == "" {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: o.Namespace, Name: o.SOPSAgeSecret}
}

// withoutLeftovers takes out of what is cached what nobody asks for: managed fields, and the copy that kubectl keeps of an
// object in an annotation, which of a Secret is its content.
func withoutLeftovers(in any) (any, error) {
	obj, ok := in.(metav1.Object)
	if !ok {
		return in, nil
	}
	obj.SetManagedFields(nil)
	if annotations := obj.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		obj.SetAnnotations(annotations)
	}
	return in, nil
}
