package pack

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
)

// lookAgain is how often it is asked whether objects that were deleted are gone.
const lookAgain = 2 * time.Second

// finalize uninstalls the release and waits, parked, until its objects are gone.
func (c *Controller) finalize(ctx context.Context, obj *packv1.Pack) error {
	key := client.ObjectKeyFromObject(obj)
	obj.Status.Phase = packv1.PackRemoving
	current := c.jobs.Current(key)
	if current == nil {
		act, err := c.actor(key.Namespace)
		if err != nil {
			return reconcile.Fail(reasonRemove, err)
		}
		// From here on the objects may go without being put back.
		c.cluster.Forget(ownerOf(key))
		c.forget(key)
		background := context.WithoutCancel(ctx)
		current = c.jobs.Start(key, "uninstalling", "", func() (any, error) {
			return act.releases.Uninstall(background, key.Namespace, key.Name, timeoutOf(obj))
		})
	}
	if !c.jobs.Wait(key, current) {
		return reconcile.Progress(current.What, time.Minute)
	}
	remaining, isUninstall := current.Outcome.([]string)
	switch {
	case !isUninstall:
		// What ended was an installation that had been under way.
		return reconcile.Progress("uninstalling", time.Second)
	case current.Err != nil && c.nobodyLeft(ctx, obj, current.Err):
		reconcile.WarnWith(ctx, nil, reasonRemove, "release %s, if there is one, was left as it is, for nobody may remove it: %v", key.Name, current.Err)
		return nil
	case current.Err != nil:
		obj.Status.Phase = packv1.PackRemoveFailed
		obj.Status.LastError = current.Err.Error()
		return reconcile.Failf(reasonRemove, "%w; to let go of the Pack and keep its objects, remove the finalizer %s", current.Err, packv1.PackFinalizer)
	case len(remaining) > 0:
		return reconcile.Progress(fmt.Sprintf("waiting for %s to go", enumerate(remaining)), lookAgain)
	}
	reconcile.Note(ctx, "ReleaseRemoved", "uninstalled release %s", key.Name)
	return nil
}

// nobodyLeft says whether the release cannot be removed because nobody is left who may, and nobody will be: where the rights
// were never there, so that nothing was installed, or where they went with the service account that had them, as they do in a
// namespace that is deleted. The namespace must not wait for the Pack then.
func (c *Controller) nobodyLeft(ctx context.Context, obj *packv1.Pack, err error) bool {
	if c.account == "" || !apierrors.IsForbidden(err) {
		return false
	}
	if obj.Status.ReleaseRevision == 0 && obj.Status.AppliedDigest == "" {
		return true
	}
	key := client.ObjectKey{Namespace: obj.Namespace, Name: c.account}
	return apierrors.IsNotFound(c.direct.Get(ctx, key, &corev1.ServiceAccount{}))
}
