package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
)

// requested lets a Pack through that was annotated to ask for an operation.
func requested() predicate.Predicate {
	asks := func(obj client.Object) string {
		a := obj.GetAnnotations()
		return a[packv1.RestartAnnotation] + "\x00" + a[packv1.ReinstallAnnotation]
	}
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(e event.UpdateEvent) bool { return asks(e.ObjectOld) != asks(e.ObjectNew) },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// wantsSync says whether the objects are to be read again, whatever the watches say.
func (p *pass) wantsSync() bool {
	token := p.obj.Annotations[reconcile.RequestAnnotation]
	return token != "" && token != p.obj.Status.LastHandledReconcileAt
}

// wantsReinstall says whether the release is to be upgraded even when it is as it should be.
func (p *pass) wantsReinstall() bool {
	token := p.obj.Annotations[packv1.ReinstallAnnotation]
	return token != "" && token != p.obj.Status.LastHandledReinstallAt
}

// mark names the last request to reinstall. It is written on the record of the release, so that one that was met is known
// to be, even when the process ended before the status was written.
func (p *pass) mark() string {
	token := p.obj.Annotations[packv1.ReinstallAnnotation]
	if token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:20])
}

// reinstalled writes down that the request to reinstall was acted on.
func (p *pass) reinstalled() {
	p.obj.Status.LastHandledReinstallAt = p.obj.Annotations[packv1.ReinstallAnnotation]
}

// restarter is the field manager of the mark that rolls workloads, so that no upgrade takes it away.
const restarter = "peyk-restart"

// restartMark is the annotation that is changed to roll a workload.
const restartMark = "k8s.kubit.ir/restartedAt"

// restart rolls the workloads of what is installed, when that is asked for. The value of the request becomes that of the
// mark: a request that is acted on twice, because the status could not be written, rolls once.
func (p *pass) restart(ctx context.Context) error {
	token := p.obj.Annotations[packv1.RestartAnnotation]
	status := &p.obj.Status
	if token == "" || token == status.LastHandledRestartAt || p.jobs.Running(p.key) {
		return nil
	}
	if status.ReleaseRevision == 0 {
		status.LastHandledRestartAt = token // what is about to be installed is fresh
		return nil
	}
	release, err := p.releases.Last(ctx, p.key.Namespace, p.key.Name)
	if release == nil || err != nil {
		return err
	}
	objects, err := p.releases.Objects(release)
	if err != nil {
		return p.failed(err)
	}
	var rolled []string
	for _, object := range objects {
		path := pack.RollPath(object.GroupVersionKind().GroupKind(), restartMark)
		if path == nil {
			continue
		}
		found, err := p.roll(ctx, object, path, token)
		if err != nil {
			return p.failed(fmt.Errorf("restarting %s %s: %w", object.GetKind(), object.GetName(), err))
		}
		if found {
			rolled = append(rolled, object.GetKind()+"/"+object.GetName())
		}
	}
	status.LastHandledRestartAt = token
	reconcile.Note(ctx, "Restarted", "rolling %s", enumerate(rolled))
	return nil
}

// roll marks one workload. One that is not there is made by the repair, and fresh then.
func (p *pass) roll(ctx context.Context, object *unstructured.Unstructured, path []string, token string) (found bool, err error) {
	gvk := object.GroupVersionKind()
	live, err := p.client.Get(ctx, gvk, object.GetNamespace(), object.GetName())
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mark := &unstructured.Unstructured{Object: map[string]any{}}
	mark.SetGroupVersionKind(gvk)
	mark.SetNamespace(object.GetNamespace())
	mark.SetName(object.GetName())
	mark.SetUID(live.GetUID()) // it must not be made where it just went
	if err := unstructured.SetNestedField(mark.Object, strings.TrimSpace(token), path...); err != nil {
		return false, err
	}
	_, _, err = p.client.Apply(ctx, mark, kube.ApplyOptions{Manager: restarter})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
