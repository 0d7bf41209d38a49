package helm

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	releases "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
)

// history is how many revisions of a Pack's release are kept.
const history = 5

// RenderError says that the chart does not render with the values: no retry mends that.
type RenderError struct{ Err error }

// Error returns the message of the template.
func (e *RenderError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *RenderError) Unwrap() error { return e.Err }

// Apply installs the release, or upgrades it, whatever state it was left in. It does not wait until objects are ready,
// only for hooks. It returns a RenderError when the chart does not render, and a BusyError while somebody else is at it.
func (e *Engine) Apply(ctx context.Context, r Request) (*Release, error) {
	r = r.ForPack()
	t := r.task()
	t.live = &answers{}
	c, err := e.begin(t)
	if err != nil {
		return nil, err
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
		done, err = e.install(ctx, c, r)
	} else if err = e.recover(c, existing, r.Timeout); err == nil {
		done, err = e.upgrade(ctx, c, r)
	}
	if err != nil {
		return nil, classify(r.Chart, err)
	}
	return t.live.describe(typed(done, nil))
}

func isUninstall(s common.Status) bool {
	return s == common.StatusUninstalled || s == common.StatusUninstalling
}

func (e *Engine) labels(r Request) map[string]string {
	set := map[string]string{holderLabel: e.holder, chartLabel: r.Chart.label()}
	if r.Mark != "" {
		set[markLabel] = r.Mark
	}
	return set
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

// join returns what errors say, side by side, as Helm does.
func join(errs []error) error {
	var texts []string
	var first error
	for _, err := range errs {
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		texts = append(texts, err.Error())
	}
	if len(texts) < 2 {
		return first
	}
	return fmt.Errorf("%w && %s", first, strings.Join(texts[1:], " && "))
}
