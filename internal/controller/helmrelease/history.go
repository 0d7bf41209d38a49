package helmrelease

import (
	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peyk/peyk/internal/render/helm"
)

// snapshot is what the status says of a revision.
func snapshot(o helm.Observed, action v2.ReleaseAction, ociDigest string) *v2.Snapshot {
	return &v2.Snapshot{
		APIVersion: v2.CurrentSnapshotAPIVersion, Digest: o.Digest(ociDigest),
		Name: o.Name, Namespace: o.Namespace, Version: o.Revision, Status: o.Status, Action: action,
		ChartName: o.Chart, ChartVersion: o.ChartVersion, AppVersion: o.AppVersion, ConfigDigest: o.ConfigDigest,
		FirstDeployed: metav1.NewTime(o.FirstDeployed), LastDeployed: metav1.NewTime(o.LastDeployed), Deleted: metav1.NewTime(o.Deleted),
		OCIDigest: ociDigest,
	}
}

// recordNew puts the revisions that an installation or an upgrade wrote into the history: a new one, and the one before
// that it superseded.
func (p *pass) recordNew(writes []helm.Observed, action v2.ReleaseAction, ociDigest string) {
	latest := map[int]helm.Observed{}
	newest := 0
	for _, o := range writes {
		latest[o.Revision] = o
		newest = max(newest, o.Revision)
	}
	for revision, o := range latest {
		if revision != newest {
			p.refresh(o, "")
		}
	}
	if newest == 0 {
		return
	}
	history := &p.obj.Status.History
	if i := p.indexOf(latest[newest]); i >= 0 {
		(*history)[i] = snapshot(latest[newest], action, ociDigest)
		return
	}
	*history = append(v2.Snapshots{snapshot(latest[newest], action, ociDigest)}, *history...)
}

// recordAgain takes in what became of revisions that are in the history. Those that are not are put there when add is set.
func (p *pass) recordAgain(writes []helm.Observed, action v2.ReleaseAction, add bool) {
	for _, o := range writes {
		if !p.refresh(o, action) && add {
			p.obj.Status.History = append(v2.Snapshots{snapshot(o, action, "")}, p.obj.Status.History...)
		}
	}
}

// refresh takes in what became of a revision, if it is in the history. An empty action leaves the one that is there.
func (p *pass) refresh(o helm.Observed, action v2.ReleaseAction) bool {
	i := p.indexOf(o)
	if i < 0 {
		return false
	}
	was := p.obj.Status.History[i]
	if action == "" {
		action = was.Action
	}
	is := snapshot(o, action, was.OCIDigest)
	is.TestHooks, is.ConfigDigest = was.TestHooks, was.ConfigDigest
	p.obj.Status.History[i] = is
	return true
}

func (p *pass) indexOf(o helm.Observed) int {
	for i, s := range p.obj.Status.History {
		if s.Targets(o.Name, o.Namespace, o.Revision) {
			return i
		}
	}
	return -1
}

// remember keeps the newest of what was written, so that it need not be read again.
func (m *memo) remember(writes []helm.Observed) {
	for i := range writes {
		o := writes[i]
		if m.last == nil || o.Revision >= m.last.Revision {
			m.know(&o)
		}
	}
}
