package helmrelease

import (
	"context"
	"fmt"
	"strconv"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/render/helm"
)

// state is the state of a release, as its storage shows it, compared with what is wanted.
type state string

// The states of a release.
const (
	absent    state = "Absent"    // there is none
	locked    state = "Locked"    // an operation that is over left it pending
	unmanaged state = "Unmanaged" // it is not as the status says: somebody else made or changed it
	outOfSync state = "OutOfSync" // it is of another chart or other values
	untested  state = "Untested"
	failed    state = "Failed"
	inSync    state = "InSync"
)

// observation is a state with what led to it.
type observation struct {
	state  state
	reason string
}

// observe finds out the state of the release.
func (p *pass) observe(ctx context.Context) (observation, error) {
	last, err := p.last(ctx)
	if err != nil {
		return observation{}, err
	}
	if last == nil {
		return observation{absent, "no release in storage for object"}, nil
	}
	if isPending(last.Status) {
		return observation{locked, fmt.Sprintf("release with status '%s'", last.Status)}, nil
	}
	if err := p.adopt(ctx, *last); err != nil {
		return observation{}, err
	}
	current := p.obj.Status.History.Latest()
	switch {
	case current == nil && last.Status == "uninstalled":
		return observation{absent, "found uninstalled release in storage"}, nil
	case current == nil:
		return observation{unmanaged, "found existing release in storage"}, nil
	case !p.verify(current, last):
		return observation{unmanaged, "release not observed to be made for object"}, nil
	}
	switch last.Status {
	case "failed":
		return observation{failed, ""}, nil
	case "uninstalled":
		return observation{absent, "found uninstalled release in storage"}, nil
	case "deployed":
		return p.compare(current, *last), nil
	}
	return observation{}, fmt.Errorf("unable to determine state for release with status '%s'", last.Status)
}

func isPending(status string) bool {
	return status == "pending-install" || status == "pending-upgrade" || status == "pending-rollback"
}

// verify says whether a revision is what the status says. Snapshots of an older format are taken at their word.
func (p *pass) verify(s *v2.Snapshot, o *helm.Observed) bool {
	if s.APIVersion != v2.CurrentSnapshotAPIVersion {
		return s.Targets(o.Name, o.Namespace, o.Revision)
	}
	if o == p.memo.last && p.memo.verified == s.Digest {
		return true
	}
	if o.Digest(s.OCIDigest) != s.Digest {
		return false
	}
	if o == p.memo.last {
		p.memo.verified = s.Digest
		o.Strip()
	}
	return true
}

// compare holds a deployed release against what is wanted.
func (p *pass) compare(current *v2.Snapshot, last helm.Observed) observation {
	switch {
	case last.Chart != p.chart.Name || last.ChartVersion != p.chart.Version:
		return observation{outOfSync, "release chart changed"}
	case current.ConfigDigest != p.config:
		return observation{outOfSync, "release config values changed"}
	}
	if p.obj.Status.ObservedGeneration != p.obj.Generation {
		if postRenderersDigest(p.obj) != p.obj.Status.ObservedPostRenderersDigest {
			return observation{outOfSync, "postrenderers digest has changed"}
		}
		if commonMetadataDigest(p.obj) != p.obj.Status.ObservedCommonMetadataDigest {
			return observation{outOfSync, "common metadata digest has changed"}
		}
	}
	if test := p.obj.GetTest(); test.Enable {
		if !current.HasBeenTested() {
			return observation{untested, ""}
		}
		remediation := p.obj.GetActiveRemediation()
		if remediation != nil && !remediation.MustIgnoreTestFailures(test.IgnoreFailures) && current.HasTestInPhase("Failed") {
			return observation{failed, "release has test in failed phase"}
		}
	}
	return observation{inSync, ""}
}

// adopt takes a revision into the history that was made for this very object, when the process ended before that was
// written down.
func (p *pass) adopt(ctx context.Context, last helm.Observed) error {
	if last.Owner != string(p.obj.UID) || p.indexOf(last) >= 0 || (last.Status != "deployed" && last.Status != "failed") {
		return nil
	}
	history := p.obj.Status.History
	for _, s := range history {
		was, err := p.releases.Read(ctx, p.obj.GetStorageNamespace(), s.Name, s.Version)
		if err != nil {
			return err
		}
		if was != nil {
			p.refresh(*was, "")
		}
	}
	action, released := v2.ReleaseActionUpgrade, v2.UpgradeSucceededReason
	if last.Revision == 1 {
		action, released = v2.ReleaseActionInstall, v2.InstallSucceededReason
	}
	s := snapshot(last, action, p.ociDigest)
	p.obj.Status.History = append(v2.Snapshots{s}, history...)
	p.obj.Status.LastAttemptedReleaseAction = action
	if last.Status == "deployed" {
		p.mark(v2.ReleasedCondition, metav1.ConditionTrue, released, succeeded(string(action), s))
	}
	return nil
}

// last returns the last revision in the release's storage, nil when there is none. It is read only when it is not known,
// and when the watch shows that there is something to read.
func (p *pass) last(ctx context.Context) (*helm.Observed, error) {
	if p.memo.last != nil && p.current(ctx) {
		return p.memo.last, nil
	}
	if p.memo.last == nil && p.obj.Spec.KubeConfig == nil {
		if records, err := p.records(ctx); err == nil && len(records) == 0 {
			return nil, nil // should the watch lag, the name of the first record is taken, and this is tried again
		}
	}
	last, err := p.releases.Read(ctx, p.obj.GetStorageNamespace(), p.releaseName(), 0)
	if err != nil {
		return nil, err
	}
	p.memo.know(last)
	p.memo.seen = last != nil
	return last, nil
}

// current says whether what is known of the release's storage is still so. The records in Peyk's own cluster are watched.
func (p *pass) current(ctx context.Context) bool {
	known := p.memo.last
	if latest := p.obj.Status.History.Latest(); latest != nil && p.memo.verified != "" && p.memo.verified != latest.Digest {
		return false // what it was held against is not known any more
	}
	if p.obj.Spec.KubeConfig != nil || known.Name != p.releaseName() || known.ResourceVersion == "" {
		return false
	}
	records, err := p.records(ctx)
	if err != nil {
		return false
	}
	found := false
	for i := range records {
		record := &records[i]
		if revision, _ := strconv.Atoi(record.Labels["version"]); revision > known.Revision {
			return false
		}
		if record.Name != known.Record {
			continue
		}
		if kube.Newer(record.ResourceVersion, known.ResourceVersion) {
			return false
		}
		found, p.memo.seen = true, true
	}
	return found || !p.memo.seen
}

// records returns what the watch shows of the release's records in Peyk's own cluster.
func (p *pass) records(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secret().GroupVersionKind())
	err := p.metadata.List(ctx, list, client.InNamespace(p.obj.GetStorageNamespace()), client.MatchingFields{byRelease: p.releaseName()})
	return list.Items, err
}
