package pack

import (
	"context"
	"errors"
	"fmt"
	"time"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/job"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// applyRelease installs or upgrades the release when what is installed is not what is wanted.
func (p *pass) applyRelease(ctx context.Context) error {
	if p.still != "" {
		p.phase = packv1.PackApplied
		return p.repairErr
	}
	if running := p.jobs.Current(p.key); running != nil {
		if err := p.await(ctx, running); err != nil {
			return err
		}
	}
	if p.gaveUp() {
		return p.stalled(errors.New(p.obj.Status.LastError))
	}
	installed, err := p.installed(ctx)
	if err != nil {
		return err
	}
	if installed && p.repairErr != nil {
		return p.failed(p.repairErr)
	}
	if !installed {
		// What could not be repaired is applied anew.
		p.repairErr = nil
		if err := p.await(ctx, p.begin(ctx)); err != nil {
			return err
		}
	}
	p.applied()
	return p.keep(ctx)
}

// installed says whether the release is as wanted already.
func (p *pass) installed(ctx context.Context) (bool, error) {
	if !p.wantsReinstall() && p.remembered(p.key).digest == p.digest {
		return true, nil
	}
	release, err := p.releases.Last(ctx, p.key.Namespace, p.key.Name)
	if err != nil {
		return false, p.failed(err)
	}
	if release == nil {
		return false, nil
	}
	if !release.Ours() && release.Chart != p.chart.Name {
		return false, p.failed(fmt.Errorf("a Helm release %s of chart %s exists that no Pack made: uninstall it, or give the Pack another name", p.key.Name, release.Chart))
	}
	if !release.Deployed || release.Digest() != p.digest || p.wantsReinstall() && release.Mark() != p.mark() {
		return false, nil
	}
	// The release was made, but this was not written down before the process ended.
	p.reinstalled()
	p.fresh = true
	return true, p.adopt(ctx, release)
}

// begin starts the Helm action.
func (p *pass) begin(ctx context.Context) *job.Job {
	request, background := p.request(), context.WithoutCancel(ctx)
	what := fmt.Sprintf("applying chart %s-%s", p.chart.Name, p.chart.Version)
	return p.jobs.Start(p.key, what, p.tag(), func() (any, error) { return p.releases.Apply(background, request) })
}

// tag names what a job is to achieve.
func (p *pass) tag() string { return p.digest + "/" + p.mark() }

// request is the release that is wanted.
func (p *pass) request() helm.Request {
	return helm.Request{
		Namespace: p.key.Namespace, Name: p.key.Name, Chart: p.chart, Values: p.values, Timeout: p.timeout(),
		Labels: map[string]string{nameLabel: p.key.Name, namespaceLabel: p.key.Namespace}, Mark: p.mark(),
	}
}

// await waits a while for a Helm action, and takes its outcome.
func (p *pass) await(ctx context.Context, j *job.Job) error {
	if !p.jobs.Wait(p.key, j) {
		return reconcile.Progress(j.What+" (waiting for its hooks)", time.Minute)
	}
	if back, ok := j.Outcome.(*reverted); ok {
		return p.wentBack(ctx, j, back)
	}
	if j.Err != nil && j.Tag != p.tag() {
		return nil // the Pack was changed since: what it is now has not been tried
	}
	if j.Tag == p.tag() {
		p.reinstalled()
	}
	if j.Err != nil {
		return p.upgradeFailed(ctx, j.Err)
	}
	release, ok := j.Outcome.(*helm.Release)
	if !ok {
		return nil // an uninstallation, of a Pack of the same name that is gone
	}
	verb := "upgraded to"
	if release.Revision == 1 {
		verb = "installed"
	}
	reconcile.Note(ctx, "ReleaseApplied", "%s chart %s-%s as revision %d", verb, release.Chart, release.Version, release.Revision)
	for _, note := range release.Notes() {
		reconcile.WarnWith(ctx, nil, "ChartNote", "%s", p.redact.Text(note))
	}
	p.obj.Status.LastAppliedTime, p.fresh = p.now(), true
	return p.adopt(ctx, release)
}

// adopt watches the objects of a release from now on. What the API server answered when they were applied is what they are
// to be; objects of a release that was only read may have been changed since, and are applied once more.
func (p *pass) adopt(ctx context.Context, release *helm.Release) error {
	objects, err := p.releases.Objects(release)
	if err != nil {
		return p.failed(err)
	}
	request := apply.Request{Owner: p.owner, Client: p.client, Objects: objects}
	if len(release.Live) > 0 {
		err = p.cluster.Observe(ctx, request, release.Live...)
	} else {
		_, err = p.cluster.Apply(ctx, request)
	}
	if err != nil {
		return p.failed(fmt.Errorf("watching the objects of the release: %w", err))
	}
	p.know(release)
	return nil
}

// refused tells what is wrong with the Pack from what is wrong with the cluster.
func (p *pass) refused(err error) error {
	var busy *helm.BusyError
	if errors.As(err, &busy) {
		return reconcile.Wait(reasonBusy, busy.Error(), max(busy.Until.Sub(p.clock.Now()), time.Second))
	}
	var render *helm.RenderError
	if errors.As(err, &render) {
		return p.invalidf("%s", p.redact.Text(err.Error()))
	}
	return p.failed(err)
}

func (p *pass) failed(err error) error {
	p.phase = packv1.PackApplyFailed
	return reconcile.Failf(reasonApplyFailed, "%s", p.redact.Text(err.Error()))
}

// applied writes down what is installed.
func (p *pass) applied() {
	p.phase = packv1.PackApplied
	m := p.remembered(p.key)
	status := &p.obj.Status
	status.Repository = p.repository.String()
	status.ResolvedVersion = m.version
	status.ResolvedFor = p.wanted.String()
	status.AppliedDigest = p.shown(m.digest)
	status.ReleaseRevision = m.revision
	status.FailedDigest = ""
	if status.LastAppliedTime == nil {
		status.LastAppliedTime = p.now()
	}
}
