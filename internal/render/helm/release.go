package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	releases "helm.sh/helm/v4/pkg/release"
	"helm.sh/helm/v4/pkg/release/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Labels of a release's record, beside Helm's own.
const (
	// holderLabel names the process that works on the release, or did last.
	holderLabel = "peyk.dev/holder"
	// chartLabel identifies the chart's archive.
	chartLabel = "peyk.dev/chart"
	// markLabel is the caller's: see Request.Mark.
	markLabel = "peyk.dev/mark"
)

// Release is the last revision of a release.
type Release struct {
	// Namespace and Name of the release.
	Namespace, Name string
	// Revision counts from 1.
	Revision int
	// Chart and Version are the chart's.
	Chart, Version string
	// Deployed says that this revision is the one that is installed; otherwise it failed or was interrupted.
	Deployed bool
	// Live are the objects as the API server answered when they were applied. It is empty for a release that was only read.
	Live []*unstructured.Unstructured

	record *release.Release
}

// Digest identifies the chart and the values that the release was made of, as the function of that name does.
func (r *Release) Digest() string {
	return digest(r.Chart, r.Version, r.record.Labels[chartLabel], r.record.Config)
}

// Notes are the sentences that the chart's notes begin with "Note: ", each without that and without its line break: what the
// chart's author wants people to mend, though it works. At most ten are returned.
func (r *Release) Notes() []string {
	const most = 10
	var found []string
	for line := range strings.Lines(r.record.Info.Notes) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "Note: "); ok && len(found) < most {
			found = append(found, text)
		}
	}
	return found
}

// Ours says whether Peyk made the release.
func (r *Release) Ours() bool { return r.record.Labels[holderLabel] != "" }

// Mark is the mark of the request that made the revision.
func (r *Release) Mark() string { return r.record.Labels[markLabel] }

// Digest identifies a chart with values, in hex.
func Digest(c *Chart, values map[string]any) string {
	return digest(c.Name, c.Version, c.label(), values)
}

func digest(name, version, archive string, values map[string]any) string {
	text := []byte("{}")
	if len(values) > 0 {
		// Values come from JSON, and so go back to it.
		text, _ = json.Marshal(values)
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{"1", name, version, archive, string(text)}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// label is as much of the archive's digest as fits into a label.
func (c *Chart) label() string { return c.Digest[:min(len(c.Digest), 40)] }

// Last returns the last revision of a release, nil when there is none.
func (e *Engine) Last(_ context.Context, namespace, name string) (*Release, error) {
	c, err := e.begin(&task{namespace: namespace})
	if err != nil {
		return nil, err
	}
	record, err := last(c, name)
	if record == nil || err != nil {
		return nil, err
	}
	return describe(record), nil
}

func describe(record *release.Release) *Release {
	r := &Release{
		Namespace: record.Namespace, Name: record.Name, Revision: record.Version,
		Deployed: record.Info.Status == common.StatusDeployed, record: record,
	}
	if record.Chart != nil && record.Chart.Metadata != nil {
		r.Chart, r.Version = record.Chart.Metadata.Name, record.Chart.Metadata.Version
	}
	return r
}

func last(c *action.Configuration, name string) (*release.Release, error) {
	found, err := c.Releases.Last(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading release %s: %w", name, err)
	}
	return typed(found, nil)
}

// typed returns a release in the one format that Helm has today.
func typed(found releases.Releaser, err error) (*release.Release, error) {
	if err != nil {
		return nil, err
	}
	record, ok := found.(*release.Release)
	if !ok || record == nil || record.Info == nil {
		return nil, errors.New("the release is of a format that this version of Peyk does not know")
	}
	return record, nil
}

// recordName is the name of the Secret that records a revision.
func recordName(name string, revision int) string {
	return fmt.Sprintf("sh.helm.release.v1.%s.v%d", name, revision)
}

// Objects returns the objects of the release as Helm applied them: with their namespaces and Helm's marks.
func (e *Engine) Objects(r *Release) ([]*unstructured.Unstructured, error) {
	return e.parse(r.record.Manifest, r.Namespace, r.Name)
}

// BusyError says that somebody else, such as the helm command line, is working on the release.
type BusyError struct {
	Name string
	// Until is when the work counts as interrupted.
	Until time.Time
}

// Error says who is waited for.
func (e *BusyError) Error() string {
	return fmt.Sprintf("another helm operation on release %s is under way; it counts as interrupted at %s", e.Name, e.Until.UTC().Format(time.TimeOnly))
}

// recover makes a release that an interrupted operation left pending one that failed, so that it can be worked on. An
// operation that neither this process nor one before it began is given patience first.
func (e *Engine) recover(c *action.Configuration, record *release.Release, patience time.Duration) error {
	if !record.Info.Status.IsPending() {
		return nil
	}
	if record.Labels[holderLabel] == "" {
		if until := record.Info.LastDeployed.Add(patience); e.now().Before(until) {
			return &BusyError{Name: record.Name, Until: until}
		}
	}
	return unlock(c, record, "interrupted before it was complete")
}

// unlock marks a pending revision as failed.
func unlock(c *action.Configuration, record *release.Release, why string) error {
	record.SetStatus(common.StatusFailed, why)
	if err := c.Releases.Update(record); err != nil {
		return fmt.Errorf("recovering release %s: %w", record.Name, err)
	}
	return nil
}
