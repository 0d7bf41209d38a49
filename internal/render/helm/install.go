package helm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"helm.sh/helm/v4/pkg/action"
	helmkube "helm.sh/helm/v4/pkg/kube"
	releases "helm.sh/helm/v4/pkg/release"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/runtime"
)

// Install makes a release that is not there. What it wrote to the release's storage was observed, also when it fails.
func (e *Engine) Install(ctx context.Context, r Request) error {
	return e.act(r, func(c *action.Configuration) error {
		_, err := e.install(ctx, c, r)
		return err
	})
}

// Upgrade makes the next revision of a release.
func (e *Engine) Upgrade(ctx context.Context, r Request) error {
	return e.act(r, func(c *action.Configuration) error {
		_, err := e.upgrade(ctx, c, r)
		return err
	})
}

// act runs an action, when its turn has come.
func (e *Engine) act(r Request, f func(*action.Configuration) error) error {
	return e.actOn(r.task(), r, f)
}

func (e *Engine) actOn(t *task, r Request, f func(*action.Configuration) error) error {
	e.slots.acquire()
	defer e.slots.release()
	if r.Begun != nil {
		r.Begun()
	}
	c, err := e.begin(t)
	if err != nil {
		return err
	}
	return f(c)
}

func (e *Engine) install(ctx context.Context, c *action.Configuration, r Request) (releases.Releaser, error) {
	install := action.NewInstall(c)
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	install.ServerSideApply = r.ServerSideApply != ServerSideDisabled
	install.ForceConflicts = install.ServerSideApply
	install.WaitStrategy, install.WaitForJobs, install.Timeout = r.Wait.strategy(), r.WaitForJobs, r.Timeout
	install.TakeOwnership, install.CreateNamespace, install.Replace = r.TakeOwnership, r.CreateNamespace, r.Replace
	install.DisableHooks, install.Devel, install.SkipCRDs = r.DisableHooks, true, true
	install.Labels = e.labels(r)
	install.PostRenderer, install.PostRenderStrategy = r.Post, action.PostRenderStrategy(r.PostRenderStrategy)
	install.SkipSchemaValidation, install.DisableOpenAPIValidation = true, true
	install.DryRunStrategy = r.dryRun()
	applyWith(c, way{serverSide: install.ServerSideApply, adopt: true, claims: r.TakeOwnership})
	loaded, err := e.load(ctx, c, r)
	if err != nil {
		return nil, err
	}
	return install.RunWithContext(ctx, loaded, runtime.DeepCopyJSON(r.Values))
}

func (e *Engine) upgrade(ctx context.Context, c *action.Configuration, r Request) (releases.Releaser, error) {
	before, err := last(c, r.Name)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return nil, driver.NewErrNoDeployedReleases(r.Name)
	}
	serverSide := r.ServerSideApply.resolve(before)
	upgrade := action.NewUpgrade(c)
	upgrade.Namespace = r.Namespace
	upgrade.ServerSideApply, upgrade.ForceConflicts = fmt.Sprint(serverSide), serverSide
	upgrade.ForceReplace = r.Force && !serverSide
	upgrade.WaitStrategy, upgrade.WaitForJobs, upgrade.Timeout = r.Wait.strategy(), r.WaitForJobs, r.Timeout
	upgrade.TakeOwnership, upgrade.DisableHooks, upgrade.CleanupOnFail = r.TakeOwnership, r.DisableHooks, r.CleanupOnFail
	upgrade.Devel, upgrade.DryRunStrategy = true, r.dryRun()
	upgrade.Labels = e.labels(r)
	upgrade.PostRenderer, upgrade.PostRenderStrategy = r.Post, action.PostRenderStrategy(r.PostRenderStrategy)
	upgrade.SkipSchemaValidation, upgrade.DisableOpenAPIValidation = r.SkipSchema || !r.PreserveValues, true
	upgrade.ResetValues, upgrade.ReuseValues, upgrade.MaxHistory = !r.PreserveValues, r.PreserveValues, r.MaxHistory
	applyWith(c, way{serverSide, before.ApplyMethod != string(release.ApplyMethodServerSideApply), r.TakeOwnership})
	loaded, err := e.load(ctx, c, r)
	if err != nil {
		return nil, err
	}
	return upgrade.RunWithContext(ctx, r.Name, loaded, runtime.DeepCopyJSON(r.Values))
}

func (r Request) dryRun() action.DryRunStrategy {
	if r.rehearsed {
		return action.DryRunServer
	}
	return action.DryRunNone
}

func (w Wait) strategy() helmkube.WaitStrategy {
	switch w {
	case WaitObjects:
		return helmkube.StatusWatcherStrategy
	case WaitLegacy:
		return helmkube.LegacyStrategy
	default:
		return helmkube.HookOnlyStrategy
	}
}

func (s ServerSide) resolve(before *release.Release) bool {
	if s == ServerSideAuto || s == "" {
		return before.ApplyMethod == string(release.ApplyMethodServerSideApply)
	}
	return s == ServerSideEnabled
}

// way is how objects are applied by an action.
type way struct {
	// serverSide says that objects are applied by the server.
	serverSide bool
	// adopt says that objects which are there may have been applied by the client before.
	adopt bool
	// claims says that objects which are there become part of the release, whosever they are.
	claims bool
}

// applyWith tells the client how objects are applied by the action.
func applyWith(c *action.Configuration, w way) {
	if own, ok := c.KubeClient.(*client); ok {
		own.way = w
	}
}

// Rollback makes the next revision of a release out of an earlier one.
func (e *Engine) Rollback(ctx context.Context, r Request, revision int) error {
	return e.rollback(ctx, r, revision, nil)
}

// Test runs the hooks of the last revision that test it, and returns that revision.
func (e *Engine) Test(_ context.Context, r Request) (tested Observed, err error) {
	err = e.act(r, func(c *action.Configuration) error {
		test := action.NewReleaseTesting(c)
		test.Namespace, test.Timeout = r.Namespace, r.Timeout
		test.Filters = map[string][]string{
			action.IncludeNameFilter: r.TestsOnly, action.ExcludeNameFilter: r.TestsExcept,
		}
		applyWith(c, way{serverSide: true})
		found, shutdown, err := test.Run(r.Name)
		if record, ok := found.(*release.Release); ok && record != nil {
			tested = observe(record, nil)
		}
		if left := shutdown(); !errors.Is(err, left) { // it may tell again why the tests failed
			err = errors.Join(err, left)
		}
		return err
	})
	return tested, err
}

// Unlock marks the last revision of a release, which an operation that is over left pending, as failed. It returns the
// revision as it was, and false when there is none that is pending.
func (e *Engine) Unlock(_ context.Context, r Request) (was Observed, pending bool, err error) {
	err = e.act(r, func(c *action.Configuration) error {
		record, err := last(c, r.Name)
		if err != nil || record == nil || !record.Info.Status.IsPending() {
			return err
		}
		was, pending = observe(record, nil), true
		return unlock(c, record, fmt.Sprintf("Release unlocked from stale '%s' state", record.Info.Status))
	})
	return was, pending, err
}

// Selects says whether a test is among those that the request chooses.
func (r Request) Selects(test string) bool {
	return !slices.Contains(r.TestsExcept, test) && (len(r.TestsOnly) == 0 || slices.Contains(r.TestsOnly, test))
}
