package pack

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// repair puts back what drifted from the release that is installed, before anything else is looked at: what ran goes on
// running whatever is wrong with the Pack now. After a start of the process it compares the whole release once.
func (p *pass) repair(ctx context.Context) error {
	if p.obj.Status.ReleaseRevision == 0 || p.jobs.Running(p.key) {
		return nil
	}
	if p.wantsSync() {
		p.cluster.Verify(p.owner)
	}
	if p.remembered(p.key).digest != "" && p.cluster.InSync(p.owner) {
		return nil
	}
	release, err := p.releases.Last(ctx, p.key.Namespace, p.key.Name)
	if err != nil {
		return reconcile.Fail(reasonApplyFailed, err)
	}
	if release == nil || !release.Deployed || !release.Ours() {
		// Somebody uninstalled it, or the last attempt failed: applying it anew is what mends that.
		p.forget(p.key)
		return nil
	}
	objects, err := p.releases.Objects(release)
	if err != nil {
		return reconcile.Fail(reasonApplyFailed, err)
	}
	result, err := p.cluster.Apply(ctx, apply.Request{Owner: p.owner, Client: p.client, Objects: objects})
	if changes := result.Changed(); len(changes) > 0 {
		reconcile.Note(ctx, "DriftCorrected", "%s", list(changes))
		p.obj.Status.LastAppliedTime = p.now()
	}
	if err != nil {
		// An upgrade may be what mends this, so it is tried before the error counts.
		p.repairErr = fmt.Errorf("repairing drift: %w", err)
	}
	p.know(release)
	return nil
}

// know remembers what is installed.
func (p *pass) know(release *helm.Release) {
	p.remember(p.key, func(m *memo) {
		m.digest, m.revision, m.version = release.Digest(), release.Revision, release.Version
		m.chart = release.Chart + "-" + release.Version
	})
}

func (p *pass) now() *metav1.Time {
	now := metav1.NewTime(p.clock.Now())
	return &now
}

func list(changes []apply.Change) string {
	lines := make([]string, 0, len(changes))
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s", c.ID, c.Action))
	}
	return strings.Join(lines, ", ")
}
