package helmrelease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// uninstall removes a release, because its HelmRelease is deleted or wants it elsewhere.
type uninstall struct{ current *v2.Snapshot }

func (uninstall) name() string { return "uninstall" }
func (uninstall) kind() kind   { return removing }

func (uninstall) timeout(obj *v2.HelmRelease) time.Duration {
	return obj.GetUninstall().GetTimeout(obj.GetTimeout()).Duration
}

func (a uninstall) request(p *pass, r *helm.Request) {
	p.uninstalling(r)
	r.Namespace, r.Name, r.Storage = a.current.Namespace, a.current.Name, p.obj.Status.StorageNamespace
}

// uninstalling completes what Helm is asked for to uninstall.
func (p *pass) uninstalling(r *helm.Request) {
	spec := p.obj.GetUninstall()
	r.DisableHooks, r.KeepHistory, r.Propagation = spec.DisableHooks, spec.KeepHistory, spec.GetDeletionPropagation()
	r.Wait = p.waitFor(spec.DisableWait)
}

func (uninstall) run(ctx context.Context, e *helm.Engine, r helm.Request) error {
	_, err := e.Remove(ctx, r)
	return err
}

func (a uninstall) record(ctx context.Context, p *pass, out *outcome) error {
	p.recordAgain(out.writes, v2.ReleaseActionUninstall, false)
	p.memo.know(nil)
	current := a.current
	switch {
	case errors.Is(out.err, helm.ErrNoRelease):
		p.mark(v2.ReleasedCondition, metav1.ConditionFalse, v2.UninstallSucceededReason,
			fmt.Sprintf("Release %s was not found, assuming it is uninstalled", current.FullReleaseName()))
	case out.err != nil && p.obj.GetUninstall().KeepHistory && strings.Contains(out.err.Error(), "is already deleted"):
		p.mark(v2.ReleasedCondition, metav1.ConditionFalse, v2.UninstallSucceededReason,
			fmt.Sprintf("Release %s was already uninstalled", current.FullReleaseName()))
	case out.err != nil:
		p.obj.Status.Failures++
		message := fmt.Sprintf("Helm uninstall failed for release %s with chart %s: %s", current.FullReleaseName(), current.VersionedChartName(), text(out.err))
		p.mark(v2.ReleasedCondition, metav1.ConditionFalse, v2.UninstallFailedReason, message)
		reconcile.WarnWith(ctx, snapshotMetadata(current), v2.UninstallFailedReason, "%s", withLog(message, out.log))
		return out.err
	default:
		message := fmt.Sprintf("Helm uninstall succeeded for release %s with chart %s", current.FullReleaseName(), current.VersionedChartName())
		p.mark(v2.ReleasedCondition, metav1.ConditionFalse, v2.UninstallSucceededReason, message)
		reconcile.NoteWith(ctx, snapshotMetadata(current), v2.UninstallSucceededReason, "%s", message)
	}
	p.obj.Status.Inventory = nil
	p.leaveTarget()
	return nil
}

// uninstallRemediation removes a release that failed.
type uninstallRemediation struct{ uninstall }

func (uninstallRemediation) kind() kind { return remediating }

func (uninstallRemediation) request(p *pass, r *helm.Request) { p.uninstalling(r) }

func (uninstallRemediation) record(ctx context.Context, p *pass, out *outcome) error {
	p.recordAgain(out.writes, v2.ReleaseActionUninstallRemediation, false)
	p.memo.know(nil)
	current := p.obj.Status.History.Latest()
	if out.err == nil {
		message := fmt.Sprintf("Helm uninstall remediation for release %s with chart %s succeeded", current.FullReleaseName(), current.VersionedChartName())
		p.mark(v2.RemediatedCondition, metav1.ConditionTrue, v2.UninstallSucceededReason, message)
		reconcile.NoteWith(ctx, snapshotMetadata(current), v2.UninstallSucceededReason, "%s", message)
		return nil
	}
	p.obj.Status.Failures++
	message := fmt.Sprintf("Helm uninstall remediation for release %s with chart %s failed: %s", current.FullReleaseName(), current.VersionedChartName(), text(out.err))
	p.mark(v2.RemediatedCondition, metav1.ConditionFalse, v2.UninstallFailedReason, message)
	reconcile.WarnWith(ctx, snapshotMetadata(current), v2.UninstallFailedReason, "%s", withLog(message, out.log))
	if len(out.writes) == 0 {
		return out.err
	}
	return nil
}
