package pack

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// lookAgain is how often it is asked whether objects that were deleted are gone.
const lookAgain = 2 * time.Second

// finalize uninstalls the release and waits, parked, until its objects are gone. It needs neither the chart nor its
// repository, and does not wait in a namespace that is being deleted, for that takes what is in it anyway.
func (c *Controller) finalize(ctx context.Context, obj *packv1.Pack) error {
	key := client.ObjectKeyFromObject(obj)
	announced := obj.Status.Phase == packv1.PackRemoving || obj.Status.Phase == packv1.PackRemoveFailed
	obj.Status.Phase = packv1.PackRemoving
	current := c.jobs.Current(key)
	if current == nil {
		act, err := c.actor(key.Namespace)
		if err != nil {
			return reconcile.Fail(reasonRemove, err)
		}
		if !announced {
			c.announce(ctx, act, obj)
		}
		current = c.uninstall(ctx, act, obj)
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
	case (current.Err != nil || len(remaining) > 0) && c.isNamespaceGoing(ctx, key.Namespace):
		if current.Err != nil {
			reconcile.WarnWith(ctx, nil, reasonRemove, "release %s goes with its namespace, for it could not be removed: %v", key.Name, current.Err)
		}
	case current.Err != nil:
		obj.Status.Phase = packv1.PackRemoveFailed
		obj.Status.LastError = current.Err.Error()
		return reconcile.Failf(reasonRemove, "%w; to let go of the Pack and keep its objects, remove the finalizer %s", current.Err, packv1.PackFinalizer)
	case len(remaining) > 0:
		return reconcile.Progress(fmt.Sprintf("waiting for %s to go", enumerate(remaining)), lookAgain)
	default:
		reconcile.Note(ctx, "ReleaseRemoved", "uninstalled release %s", key.Name)
	}
	c.noteUses(key, nil)
	return nil
}

// uninstall starts the removal.
func (c *Controller) uninstall(ctx context.Context, act *actor, obj *packv1.Pack) *job.Job {
	key := client.ObjectKeyFromObject(obj)
	// From here on the objects may go without being put back.
	c.cluster.Forget(ownerOf(key))
	c.forget(key)
	background := context.WithoutCancel(ctx)
	removal := helm.Removal{
		Namespace: key.Namespace, Name: key.Name, Timeout: timeoutOf(obj),
		Volumes: obj.Spec.Volumes == packv1.VolumesDelete, NoHooks: c.isNamespaceGoing(ctx, key.Namespace),
	}
	return c.jobs.Start(key, "uninstalling", "", func() (any, error) {
		remaining, err := act.releases.Uninstall(background, removal)
		if removal.NoHooks {
			// The record may have gone before the objects did, and some may be outside of the namespace.
			_, _, pruned := c.cluster.Prune(background, ownerOf(key), act.client, nil, nil)
			err = errors.Join(err, pruned)
		}
		return remaining, err
	})
}

// announce says what goes, and what stays, before anything does.
func (c *Controller) announce(ctx context.Context, act *actor, obj *packv1.Pack) {
	release, err := act.releases.Last(ctx, obj.Namespace, obj.Name)
	if err != nil || release == nil || !release.Ours() {
		return
	}
	objects, err := act.releases.Objects(release)
	if err != nil {
		return // the removal says what is wrong
	}
	var going, claims []string
	for _, object := range objects {
		if object.GetKind() != "PersistentVolumeClaim" {
			going = append(going, object.GetKind()+"/"+object.GetName())
		}
	}
	found, err := act.releases.Claims(ctx, release)
	for i := range found {
		size := found[i].Spec.Resources.Requests.Storage()
		claims = append(claims, fmt.Sprintf("%s (%s)", found[i].Name, size))
	}
	volumes := "there are no volumes"
	switch {
	case err != nil:
		volumes = "its volumes cannot be listed: " + err.Error()
	case len(claims) > 0 && obj.Spec.Volumes == packv1.VolumesDelete:
		volumes = "the volumes and their data go too, as spec.volumes says: " + enumerate(claims)
	case len(claims) > 0:
		volumes = "the volumes stay, as spec.volumes says: " + enumerate(claims)
	}
	reconcile.Note(ctx, "Removing", "%s of release %s go; %s", enumerate(going), release.Name, volumes)
}

// isNamespaceGoing says whether a namespace is being deleted, or gone.
func (c *Controller) isNamespaceGoing(ctx context.Context, name string) bool {
	var namespace corev1.Namespace
	err := c.direct.Get(ctx, client.ObjectKey{Name: name}, &namespace)
	return apierrors.IsNotFound(err) || err == nil && namespace.DeletionTimestamp != nil
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
