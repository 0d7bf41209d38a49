// Package storage provisions volumes of the local cluster: one directory of this machine per PersistentVolume, made when a
// claim's first pod is scheduled and deleted with the volume.
package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// DefaultProvisioner is the provisioner name that a StorageClass must carry when Config.Provisioner is empty.
const DefaultProvisioner = "local.peyk.dev/path"

// A refused or failed claim is tried again after retryFirst, then ever later up to retryLast: a person who mends a claim's class
// should not wait for minutes on a machine of one's own.
const (
	retryFirst = time.Second
	retryLast  = time.Minute
)

// Config says where volumes live.
type Config struct {
	// Dir is the absolute path of the folder that holds one directory per volume. Every node must see it under the same path.
	Dir string
	// Provisioner is the name that StorageClasses use; empty means DefaultProvisioner.
	Provisioner string
	// Log receives the provisioner's messages; nil discards them.
	Log *slog.Logger
}

// Run serves claims until ctx ends. It returns an error only when it could not start.
func Run(ctx context.Context, cfg *rest.Config, c Config) error {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("creating the volume provisioner's client: %w", err)
	}
	return run(ctx, client, c)
}

func run(ctx context.Context, client kubernetes.Interface, c Config) error {
	if c.Provisioner == "" {
		c.Provisioner = DefaultProvisioner
	}
	p, err := newProvisioner(c.Dir)
	if err != nil {
		return err
	}
	ctx = klog.NewContext(ctx, logger(c.Log))
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryFirst, retryLast)
	ctrl := controller.NewProvisionController(ctx, client, c.Provisioner, p,
		// One supervisor serves one cluster, so there is nobody to elect against.
		controller.LeaderElection(false),
		controller.RateLimiter(limiter),
		controller.RetryIntervalMax(retryLast),
		// The finalizer keeps a volume's object until its directory is gone, also when a person deletes the volume directly.
		controller.AddFinalizer(true),
		// A failed claim is never given up: the mend may come at any time.
		controller.FailedProvisionThreshold(0),
		controller.FailedDeleteThreshold(0),
	)
	ctrl.Run(ctx)
	return nil
}

func logger(log *slog.Logger) logr.Logger {
	if log == nil {
		return logr.Discard()
	}
	return logr.FromSlogHandler(log.Handler())
}

// newProvisioner checks the folder early, so that a wrong one stops the start and not the first claim.
func newProvisioner(dir string) (*provisioner, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("volume folder %q must be an absolute path", dir)
	}
	dir = filepath.Clean(dir)
	if dir == "/" {
		return nil, errors.New("volume folder must not be /: give the provisioner a folder of its own")
	}
	// Only root and the owner look into the folder: its volumes are open to every user, as pods of any user write there.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("creating the volume folder: %w", err)
	}
	return &provisioner{dir: dir}, nil
}
