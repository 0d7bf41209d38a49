package helmrelease

import (
	"context"
	"errors"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/tenancy"
)

// finalize uninstalls the release of a HelmRelease that is deleted, and removes its HelmChart. One that is suspended
// leaves everything where it is.
func (c *Controller) finalize(ctx context.Context, obj *v2.HelmRelease) error {
	key := client.ObjectKeyFromObject(obj)
	if !obj.Spec.Suspend {
		// From here on the objects may go without being put back.
		c.Clusters.Forget(ownerOf(obj))
		if err := c.finishRelease(ctx, obj); err != nil {
			return err
		}
		if err := c.deleteTemplate(ctx, obj); err != nil {
			return reconcile.Fail(v2.UninstallFailedReason, err)
		}
	}
	c.Clusters.Forget(ownerOf(obj))
	c.forget(key)
	return nil
}

const reasonSkipped = "UninstallSkipped"

// finishRelease uninstalls the release, unless nobody is left on whose behalf that could be done.
func (c *Controller) finishRelease(ctx context.Context, obj *v2.HelmRelease) error {
	key := client.ObjectKeyFromObject(obj)
	p := &pass{Controller: c, obj: obj, key: key, owner: ownerOf(obj), memo: c.memo(key), health: &healthRules{}}
	if current := c.jobs.Current(key); current != nil {
		if running := p.memo.running; running != nil && running.action.kind() == releasing {
			running.cancel(errors.New("the HelmRelease was deleted"))
		}
		if !c.jobs.Wait(key, current) {
			return reconcile.Progress("uninstalling: waiting for the '"+current.What+"' action to end", time.Minute)
		}
		if err := p.conclude(ctx, current); err != nil && current.What == (uninstall{}).name() {
			return p.uninstallFailed(err)
		}
	}
	current := p.installed(ctx)
	if current == nil {
		return nil
	}
	if gone, err := c.actorGone(ctx, obj); err != nil {
		return p.uninstallFailed(err)
	} else if gone != "" {
		reconcile.WarnWith(ctx, nil, reasonSkipped, "the release %s was left as it is: %s", current.FullReleaseName(), gone)
		return nil
	}
	if err := p.connect(ctx); err != nil {
		return p.uninstallFailed(err)
	}
	started := p.start(ctx, uninstall{current: current})
	if !c.jobs.Wait(key, started) {
		return reconcile.Progress("uninstalling release "+current.FullReleaseName(), time.Minute)
	}
	if err := p.conclude(ctx, started); err != nil {
		return p.uninstallFailed(err)
	}
	return nil
}

// installed returns the last revision that the status knows. Where it knows none, it may be that the process ended before the
// first one was written down: then it is the one in the storage, if that was made for this very object. What cannot be looked
// at does not keep the HelmRelease from going: most likely there never was a release.
func (p *pass) installed(ctx context.Context) *v2.Snapshot {
	if current := p.obj.Status.History.Latest(); current != nil && p.obj.Status.StorageNamespace != "" {
		return current.DeepCopy()
	}
	if err := p.connect(ctx); err != nil {
		return nil
	}
	last, err := p.last(ctx)
	if err != nil || last == nil || last.Owner != string(p.obj.UID) || last.Status == "uninstalled" {
		return nil
	}
	p.obj.Status.StorageNamespace = p.obj.GetStorageNamespace()
	return snapshot(*last, v2.ReleaseActionInstall, "")
}

// uninstallFailed says on the status why the HelmRelease does not go, and how to let go of it.
func (p *pass) uninstallFailed(err error) error {
	return reconcile.Failf(v2.UninstallFailedReason,
		"%w; it is tried again; to let go of the release and keep its objects, remove the finalizer %s, or set spec.suspend before deleting", err, v2.HelmReleaseFinalizer)
}

// actorGone says who is missing that the release could be uninstalled on behalf of; empty when nobody is.
func (c *Controller) actorGone(ctx context.Context, obj *v2.HelmRelease) (string, error) {
	if obj.Spec.KubeConfig != nil {
		_, err := c.clientOf(ctx, obj)
		if errors.Is(err, tenancy.ErrNoKubeconfig) {
			return err.Error(), nil
		}
		return "", nil // another error is met again, and told
	}
	account := c.Policy.Identity(obj.Namespace, obj.Spec.ServiceAccountName).ServiceAccount
	if account == "" {
		return "", nil
	}
	err := c.direct.Get(ctx, types.NamespacedName{Namespace: obj.Namespace, Name: account}, &corev1.ServiceAccount{})
	if apierrors.IsNotFound(err) {
		return "the ServiceAccount " + account + " is gone", nil
	}
	return "", err
}
