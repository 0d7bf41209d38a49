package helm

import (
	"context"
	"fmt"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/release/common"
)

// Revert makes the next revision of a Pack's release out of an earlier one: the given one, or with 0 the one that is
// deployed still, after an upgrade failed. It returns nil when there is none to go back to.
func (e *Engine) Revert(ctx context.Context, r Request, revision int) (*Release, error) {
	r = r.ForPack()
	if revision == 0 {
		found, err := e.deployed(r)
		if err != nil || found == 0 {
			return nil, err
		}
		revision = found
	}
	gathered := &answers{}
	err := e.rollback(ctx, r, revision, gathered)
	if err != nil {
		return nil, fmt.Errorf("going back to revision %d: %w", revision, oneLine{err})
	}
	c, err := e.begin(r.task())
	if err != nil {
		return nil, err
	}
	record, err := last(c, r.Name)
	if record == nil || err != nil {
		return nil, err
	}
	return gathered.describe(record, nil)
}

// deployed is the newest revision that is deployed, 0 when there is none.
func (e *Engine) deployed(r Request) (int, error) {
	c, err := e.begin(r.task())
	if err != nil {
		return 0, err
	}
	history, err := c.Releases.History(r.Name)
	if err != nil {
		return 0, fmt.Errorf("reading the history of release %s: %w", r.Name, err)
	}
	newest := 0
	for _, found := range history {
		record, err := typed(found, nil)
		if err == nil && record.Info.Status == common.StatusDeployed && record.Version > newest {
			newest = record.Version
		}
	}
	return newest, nil
}

// rollback runs Helm's action.
func (e *Engine) rollback(_ context.Context, r Request, revision int, gathered *answers) error {
	t := r.task()
	t.live = gathered
	return e.actOn(t, r, func(c *action.Configuration) error {
		target, err := typed(c.Releases.Get(r.Name, revision))
		if err != nil {
			return fmt.Errorf("reading revision %d: %w", revision, err)
		}
		serverSide := r.ServerSideApply.resolve(target)
		rollback := action.NewRollback(c)
		rollback.Version = revision
		rollback.ServerSideApply, rollback.ForceConflicts = fmt.Sprint(serverSide), serverSide
		rollback.ForceReplace = r.Force && !serverSide
		rollback.WaitStrategy, rollback.WaitForJobs, rollback.Timeout = r.Wait.strategy(), r.WaitForJobs, r.Timeout
		rollback.DisableHooks, rollback.CleanupOnFail, rollback.MaxHistory = r.DisableHooks, r.CleanupOnFail, r.MaxHistory
		applyWith(c, way{serverSide: serverSide, adopt: true})
		return rollback.Run(r.Name)
	})
}
