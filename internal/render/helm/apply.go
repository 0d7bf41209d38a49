package helm

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	helmkube "helm.sh/helm/v4/pkg/kube"
	releases "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// history is how many revisions of a release are kept.
const history = 5

// Request is a release as it is wanted.
type Request struct {
	Namespace, Name string
	Chart           *Chart
	Values          map[string]any
	// Labels are set on every object of the release; not on hooks, and not on what the objects make.
	Labels map[string]string
	// Timeout of every hook, and how long somebody else's operation on the release is waited for.
	Timeout time.Duration
}

// RenderError says that the chart does not render with the values: no retry mends that.
type RenderError struct{ Err error }

// Error returns the message of the template.
func (e *RenderError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *RenderError) Unwrap() error { return e.Err }

// Apply installs the release, or upgrades it, whatever state it was left in. It does not wait until objects are ready,
// only for hooks. It returns a RenderError when the chart does not render, and a BusyError while somebody else is at it.
func (e *Engine) Apply(ctx context.Context, r Request) (*Release, error) {
	c, err := e.configure(r.Namespace)
	if err != nil {
		return nil, err
	}
	loaded, err := r.Chart.load()
	if err != nil {
		return nil, &RenderError{err}
	}
	if len(loaded.CRDObjects()) > 0 {
		defer e.capabilities.forget()
	}
	existing, err := last(c, r.Name)
	if err != nil {
		return nil, err
	}
	if existing != nil && isUninstall(existing.Info.Status) {
		if err := e.purge(c, r.Name); err != nil {
			return nil, err
		}
		existing = nil
	}
	var done releases.Releaser
	if existing == nil {
		done, err = e.install(ctx, c, r, loaded)
	} else if err = e.recover(c, existing, r.Timeout); err == nil {
		done, err = e.upgrade(ctx, c, r, loaded)
	}
	if err != nil {
		return nil, classify(r.Chart, err)
	}
	record, ok := done.(*release.Release)
	if !ok {
		return nil, fmt.Errorf("helm returned a release of a format that this version of Peyk does not know")
	}
	return describe(record), nil
}

func isUninstall(s common.Status) bool {
	return s == common.StatusUninstalled || s == common.StatusUninstalling
}

func (e *Engine) labels(r Request) map[string]string {
	return map[string]string{holderLabel: e.holder, chartLabel: r.Chart.label()}
}

func (e *Engine) install(ctx context.Context, c *action.Configuration, r Request, loaded *chart.Chart) (releases.Releaser, error) {
	install := action.NewInstall(c)
	install.ReleaseName, install.Namespace = r.Name, r.Namespace
	install.ServerSideApply, install.ForceConflicts = true, true
	install.WaitStrategy, install.Timeout = helmkube.HookOnlyStrategy, r.Timeout
	install.Labels = e.labels(r)
	install.PostRenderer, install.PostRenderStrategy = labeller(r.Labels), action.PostRenderStrategyNoHooks
	install.SkipSchemaValidation, install.DisableOpenAPIValidation = true, true
	return install.RunWithContext(ctx, loaded, runtime.DeepCopyJSON(r.Values))
}

func (e *Engine) upgrade(ctx context.Context, c *action.Configuration, r Request, loaded *chart.Chart) (releases.Releaser, error) {
	upgrade := action.NewUpgrade(c)
	upgrade.Namespace = r.Namespace
	upgrade.ServerSideApply, upgrade.ForceConflicts = "true", true
	upgrade.WaitStrategy, upgrade.Timeout = helmkube.HookOnlyStrategy, r.Timeout
	upgrade.Labels = e.labels(r)
	upgrade.PostRenderer, upgrade.PostRenderStrategy = labeller(r.Labels), action.PostRenderStrategyNoHooks
	upgrade.SkipSchemaValidation, upgrade.DisableOpenAPIValidation = true, true
	upgrade.ResetValues, upgrade.MaxHistory = true, history
	return upgrade.RunWithContext(ctx, r.Name, loaded, runtime.DeepCopyJSON(r.Values))
}

// classify tells a chart that does not render from a cluster that refuses what was rendered. Helm has no error types
// for that.
func classify(c *Chart, err error) error {
	err = fmt.Errorf("chart %s-%s: %w", c.Name, c.Version, oneLine{err})
	if renderSigns.MatchString(err.Error()) {
		return &RenderError{err}
	}
	return err
}

var renderSigns = regexp.MustCompile(`execution error at \(|parse error at \(|YAML parse error on |error merging manifests|` +
	`template: \S+:\d+|executing "[^"]+" at <|error parsing YAML|chart requires kubeVersion|error while running post render`)

// oneLine is an error whose message is on one line.
type oneLine struct{ error }

// Error returns the message with every run of blanks as one.
func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

// Unwrap returns the wrapped error.
func (e oneLine) Unwrap() error { return e.error }
