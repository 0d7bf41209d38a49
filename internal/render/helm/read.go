package helm

import (
	"context"
	"errors"
	"fmt"

	"helm.sh/helm/v4/pkg/action"
	helmkube "helm.sh/helm/v4/pkg/kube"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Read returns the last revision of a release, or the one that is named; nil when there is none.
func (e *Engine) Read(_ context.Context, storage, name string, revision int) (*Observed, error) {
	t := &task{namespace: storage, storage: storage}
	c, err := e.begin(t)
	if err != nil {
		return nil, err
	}
	var record *release.Release
	if revision == 0 {
		record, err = last(c, name)
	} else {
		record, err = typed(c.Releases.Get(name, revision))
		if errors.Is(err, driver.ErrReleaseNotFound) {
			return nil, nil
		}
	}
	if record == nil || err != nil {
		return nil, err
	}
	o := observe(record, t.records)
	return &o, nil
}

// ObjectsOf returns the objects of a revision as Helm applies them: with their namespaces and Helm's marks.
func (e *Engine) ObjectsOf(o Observed) ([]*unstructured.Unstructured, error) {
	return e.parse(o.manifest, o.Namespace, o.Name)
}

// Definitions returns the definitions in the chart's crds folders.
func (c *Chart) Definitions() ([]*unstructured.Unstructured, error) {
	loaded, err := c.parse()
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, file := range loaded.CRDObjects() {
		objects, err := split(file.File.Data)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file.Filename, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}

// ErrNoRelease says that there is no release to uninstall.
var ErrNoRelease = driver.ErrReleaseNotFound

// Remove uninstalls a release whoever made it. It returns the revision that it was; ErrNoRelease when there is none.
func (e *Engine) Remove(_ context.Context, r Request) (removed Observed, err error) {
	err = e.act(r, func(c *action.Configuration) error {
		record, err := last(c, r.Name)
		if err != nil {
			return err
		}
		if record == nil {
			return ErrNoRelease
		}
		removed = observe(record, nil)
		heard := &listener{next: r.Log}
		c.SetLogger(heard)
		uninstall := action.NewUninstall(c)
		uninstall.Timeout, uninstall.DisableHooks, uninstall.KeepHistory = r.Timeout, r.DisableHooks, r.KeepHistory
		uninstall.WaitStrategy, uninstall.DeletionPropagation = r.Wait.strategy(), r.Propagation
		if uninstall.WaitStrategy == "" {
			uninstall.WaitStrategy = helmkube.HookOnlyStrategy
		}
		applyWith(c, way{serverSide: true})
		if _, err := uninstall.Run(r.Name); err != nil {
			return errors.Join(err, heard.heard)
		}
		return nil
	})
	return removed, err
}
