package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// install measures the time from nothing to every application being Ready.
func (r *round) install(ctx context.Context) error { return r.installAs(ctx, "a install") }

// upgrade measures the time from a webhook to every application being Ready in its next version.
func (r *round) upgrade(ctx context.Context) error { return r.upgradeAs(ctx, "b upgrade") }

// releases measures both for applications that are HelmReleases of one chart.
func (r *round) releases(ctx context.Context) error {
	if err := r.installAs(ctx, "g install"); err != nil {
		return err
	}
	return r.upgradeAs(ctx, "g upgrade")
}

func (r *round) installAs(ctx context.Context, name string) error {
	if err := r.publish(ctx, "v1"); err != nil {
		return err
	}
	sources, err := r.sources()
	if err != nil {
		return err
	}
	apps, err := r.apps()
	if err != nil {
		return err
	}
	_, err = r.measure(ctx, name, func(ctx context.Context) (outcome, error) {
		return r.untilReady(ctx, "seconds to create", func(ctx context.Context) error {
			return r.cluster.applyAll(ctx, r.o.workers, append(sources, apps...))
		})
	})
	return err
}

func (r *round) upgradeAs(ctx context.Context, name string) error {
	if err := r.publish(ctx, "v2"); err != nil {
		return err
	}
	_, err := r.measure(ctx, name, func(ctx context.Context) (outcome, error) {
		return r.untilReady(ctx, "seconds to announce", r.announce)
	})
	return err
}

// untilReady begins something, and measures until every application is Ready with the revision that is wanted.
func (r *round) untilReady(ctx context.Context, note string, begin func(context.Context) error) (outcome, error) {
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	var begun time.Duration
	group.Go(func() error {
		err := begin(ctx)
		begun = time.Since(start)
		return err
	})
	var took []time.Duration
	group.Go(func() (err error) {
		took, err = r.board.wait(ctx, r.n, r.done())
		return err
	})
	err := group.Wait()
	return outcome{wall: time.Since(start), latencies: took, notes: map[string]float64{note: begun.Seconds()}}, err
}

// done is the check for an application being as the last change wants it.
func (r *round) done() func(*unstructured.Unstructured) bool {
	if r.source == sourcePack {
		return ready
	}
	return applied(r.wanted)
}

// lastFloor measures the floor again, so that its mean is of the time around the operator's turn, and sets the ratios.
func (r *round) lastFloor(ctx context.Context) error {
	if err := r.floor(ctx, "after"); err != nil {
		return err
	}
	for _, m := range r.report.Results {
		if m.N != r.n || m.Source != r.source {
			continue
		}
		switch m.Scenario {
		case "a install", "g install", "p install":
			m.compare(r.floors.install, r.floors.checkedInstall)
		case "b upgrade", "g upgrade":
			m.compare(r.floors.upgrade, r.floors.checkedUpgrade)
		}
	}
	return nil
}
