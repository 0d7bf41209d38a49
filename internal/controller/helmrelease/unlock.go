package helmrelease

import (
	"context"
	"fmt"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// unlock marks a revision as failed that an operation which is over left pending.
type unlock struct{ status string }

const reasonPending = "PendingRelease"

func (unlock) name() string { return "unlock" }
func (unlock) kind() kind   { return unlocking }

func (unlock) timeout(obj *v2.HelmRelease) time.Duration { return obj.GetTimeout().Duration }

func (unlock) request(*pass, *helm.Request) {}

func (unlock) run(ctx context.Context, e *helm.Engine, r helm.Request) error {
	_, _, err := e.Unlock(ctx, r)
	return err
}

func (a unlock) record(ctx context.Context, p *pass, out *outcome) error {
	p.recordAgain(out.writes, "", false)
	if out.err != nil {
		p.obj.Status.Failures++
		message := fmt.Sprintf("Unlock of Helm release %s/%s in %s state failed: %s", p.obj.GetReleaseNamespace(), p.releaseName(), a.status, text(out.err))
		p.mark(v2.ReleasedCondition, metav1.ConditionFalse, reasonPending, message)
		reconcile.WarnWith(ctx, nil, reasonPending, "%s", message)
		return out.err
	}
	for _, o := range out.writes {
		s := snapshot(o, "", out.ociDigest)
		message := fmt.Sprintf("Unlocked Helm release %s with chart %s in %s state", s.FullReleaseName(), s.VersionedChartName(), a.status)
		p.mark(v2.ReleasedCondition, metav1.ConditionFalse, reasonPending, message)
		reconcile.NoteWith(ctx, snapshotMetadata(s), reasonPending, "%s", message)
	}
	return nil
}
