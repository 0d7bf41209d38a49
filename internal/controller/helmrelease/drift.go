package helmrelease

import (
	"context"
	"fmt"
	"strings"
	"time"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

// The reasons of events about drift that Flux has no name for in its API.
const (
	reasonCorrected        = "DriftCorrected"
	reasonCorrectionFailed = "DriftCorrectionFailed"
)

// justNow is how long ago objects may have been applied that are taken for what they were made then.
const justNow = time.Second

// watchObjects watches the objects of a release that was just made, when drift is to be detected. Those of an action that
// waited long are compared first, by the check that follows, for they may have been changed meanwhile.
func (p *pass) watchObjects(ctx context.Context, out *outcome) {
	p.memo.observed, p.memo.drift = "", ""
	current := p.obj.Status.History.Latest()
	if !p.obj.GetDriftDetection().MustDetectChanges() || current == nil || p.cluster == nil || out.took > justNow {
		return
	}
	// What fails here is found out by the check that follows.
	if p.Clusters.Engine(p.owner, p.cluster).Observe(ctx, p.watched(out.objects)) == nil {
		p.memo.observed = current.Digest
	}
}

// watched is what the apply engine is to keep an eye on: not the objects whose drift is of no interest.
func (p *pass) watched(objects []*unstructured.Unstructured) apply.Request {
	r := apply.Request{Owner: p.owner, Client: p.cluster}
	for _, obj := range objects {
		if !isExcluded(obj) {
			r.Objects = append(r.Objects, obj)
		}
	}
	return r
}

// isExcluded says whether an object is labelled or annotated to be left alone.
func isExcluded(obj *unstructured.Unstructured) bool {
	return obj.GetLabels()[v2.DriftDetectionMetadataKey] == v2.DriftDetectionDisabledValue ||
		obj.GetAnnotations()[v2.DriftDetectionMetadataKey] == v2.DriftDetectionDisabledValue
}

// checkDrift looks for objects that are not as the release says, and puts them back when that is asked for. While watches
// show no change, it asks the API server for nothing.
func (p *pass) checkDrift(ctx context.Context) (action, error) {
	mode := p.obj.GetDriftDetection()
	current := p.obj.Status.History.Latest()
	if !mode.MustDetectChanges() {
		p.unmark(v2.DriftedCondition)
		if p.memo.observed != "" {
			p.Clusters.Forget(p.owner)
			p.memo.observed, p.memo.drift = "", ""
		}
		return nil, nil
	}
	engine := p.Clusters.Engine(p.owner, p.cluster)
	if p.memo.observed == current.Digest && engine.InSync(p.owner) {
		p.markDrift()
		return nil, nil
	}
	objects, err := p.objects(ctx)
	if err != nil {
		return nil, reconcile.Failf(reasonState, "Could not determine release state: unable to determine cluster state: %w", err)
	}
	p.memo.observed = ""
	if err := p.lookForDrift(ctx, engine, p.watched(objects)); err != nil {
		return nil, err
	}
	p.memo.observed = current.Digest
	p.markDrift()
	return nil, nil
}

// lookForDrift compares objects with the cluster, and has them put back when that is asked for. They are watched before
// they are compared, so that no change is missed that comes in between.
func (p *pass) lookForDrift(ctx context.Context, engine *apply.Engine, r apply.Request) error {
	if err := engine.Observe(ctx, r); err != nil {
		return reconcile.Failf(reasonState, "watching the objects of the release: %w", err)
	}
	drift, desired, err := p.findDrift(ctx, r.Objects)
	if err != nil {
		return reconcile.Failf(reasonState, "Could not determine release state: unable to determine cluster state: %w", err)
	}
	if p.memo.drift = strings.Join(drift, "\n"); len(drift) == 0 {
		return nil
	}
	r.Objects = desired
	if p.obj.GetDriftDetection().GetMode() == v2.DriftDetectionEnabled {
		engine.Doubt(p.owner, desired)
	}
	return p.handleDrift(ctx, engine, r)
}

// objects returns the objects of the release as they are to be.
func (p *pass) objects(ctx context.Context) ([]*unstructured.Unstructured, error) {
	current := p.obj.Status.History.Latest()
	last, err := p.releases.Read(ctx, p.obj.GetStorageNamespace(), current.Name, current.Version)
	if err != nil {
		return nil, err
	}
	if last == nil {
		return nil, fmt.Errorf("revision %d is gone", current.Version)
	}
	return p.releases.ObjectsOf(*last)
}

// markDrift says on the status whether there is drift.
func (p *pass) markDrift() {
	if p.memo.drift == "" {
		p.mark(v2.DriftedCondition, metav1.ConditionFalse, v2.NoDriftDetectedReason, "No drift detected against the cluster state")
		return
	}
	p.mark(v2.DriftedCondition, metav1.ConditionTrue, v2.DriftDetectedReason, p.driftMessage())
}

func (p *pass) driftMessage() string {
	return fmt.Sprintf("Cluster state of release %s has drifted from the desired state:\n%s", p.obj.Status.History.Latest().FullReleaseName(), p.memo.drift)
}

// handleDrift tells of drift, and corrects it when that is asked for.
func (p *pass) handleDrift(ctx context.Context, engine *apply.Engine, r apply.Request) error {
	current := p.obj.Status.History.Latest()
	reconcile.WarnWith(ctx, snapshotMetadata(current), v2.DriftDetectedReason, "%s", p.driftMessage())
	if p.obj.GetDriftDetection().GetMode() != v2.DriftDetectionEnabled {
		return nil
	}
	result, err := engine.Apply(ctx, r)
	var lines []string
	for _, change := range result.Changed() {
		lines = append(lines, fmt.Sprintf("%s %s", change.ID, change.Action))
	}
	corrected := strings.Join(lines, "\n")
	if err != nil {
		p.markDrift()
		p.memo.observed = ""
		message := fmt.Sprintf("Failed to correct cluster state of release %s:\n%s", current.FullReleaseName(), err)
		if corrected != "" {
			message += "\n\nSuccessful corrections:\n" + corrected
		}
		reconcile.WarnWith(ctx, snapshotMetadata(current), reasonCorrectionFailed, "%s", message)
		return p.showing(reconcile.Failf(reasonCorrectionFailed, "%s", message))
	}
	p.memo.drift = ""
	if corrected != "" {
		reconcile.NoteWith(ctx, snapshotMetadata(current), reasonCorrected, "Cluster state of release %s has been corrected:\n%s", current.FullReleaseName(), corrected)
	}
	return nil
}
