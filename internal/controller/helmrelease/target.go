package helmrelease

import (
	"context"

	v2 "github.com/fluxcd/helm-controller/api/v2"
)

// checkTarget uninstalls the release when it is wanted under another name or elsewhere: the new one could not have its
// objects otherwise.
func (p *pass) checkTarget(ctx context.Context) error {
	current := p.obj.Status.History.Latest()
	if current == nil || p.obj.Status.StorageNamespace == "" || !p.targetChanged(current) {
		return nil
	}
	started := p.start(ctx, uninstall{current: current.DeepCopy()})
	if !p.jobs.Wait(p.key, started) {
		return p.progress(uninstall{})
	}
	return p.conclude(ctx, started)
}

func (p *pass) targetChanged(current *v2.Snapshot) bool {
	if p.obj.GetStorageNamespace() != p.obj.Status.StorageNamespace || p.obj.GetReleaseNamespace() != current.Namespace || p.releaseName() != current.Name {
		return true
	}
	return p.chart.Name != current.ChartName && p.obj.GetUpgrade().GetChartNameChangeStrategy() == v2.ChartNameChangeStrategyReinstall
}

// leaveTarget forgets a release that was uninstalled.
func (p *pass) leaveTarget() {
	p.obj.Status.ClearHistory()
	p.obj.Status.ClearFailures()
	p.obj.Status.StorageNamespace = ""
	p.memo.know(nil)
	p.memo.previous = nil
}
