package helmchart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/registry"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/helm"
)

// safetyNet is how long a HelmChart waits for its source, should nothing wake it.
const safetyNet = 30 * time.Second

// findSource reads the source that the spec names, and what it has stored.
func (p *pass) findSource(ctx context.Context) error {
	ref := sourceOf(p.obj)
	var obj client.Object
	switch ref.Kind {
	case sourcev1.HelmRepositoryKind:
		p.repository = &sourcev1.HelmRepository{}
		obj = p.repository
	case sourcev1.GitRepositoryKind:
		obj = &sourcev1.GitRepository{}
	case sourcev1.BucketKind:
		obj = &sourcev1.Bucket{}
	default:
		return reconcile.Stallf("UnsupportedSourceKind", "spec.sourceRef.kind: %q is not a source of charts; use HelmRepository, GitRepository or Bucket", ref.Kind)
	}
	err := p.reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, obj)
	if apierrors.IsNotFound(err) {
		return reconcile.Failf(reasonUnavailable, "spec.sourceRef: there is no %s; create it, or correct the name", ref)
	}
	if err != nil {
		return reconcile.Failf(reasonUnavailable, "reading %s: %w", ref, err)
	}
	if p.repository != nil {
		if p.access, err = source.Repository(ctx, p.keep(), p.repository); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		if source.IsOCI(p.repository) {
			return nil
		}
	}
	found, ok := p.artifacts.Get(ref)
	if ok {
		p.release, ok = p.artifacts.Hold(found)
	}
	if !ok {
		return reconcile.Wait(reasonNoArtifact, fmt.Sprintf("no artifact available for %s source '%s'", ref.Kind, ref.Name), safetyNet)
	}
	p.artifact = found
	p.obj.Status.ObservedSourceArtifactRevision = found.Revision
	return nil
}

func (p *pass) keep() access.Secrets {
	return access.Secrets{Reader: p.secrets, Namespace: p.obj.Namespace}
}

// findChart finds out which version of the chart is wanted now, and whether it is stored already.
func (p *pass) findChart(ctx context.Context) error {
	var err error
	if p.isTree() {
		err = p.findInTree()
	} else {
		ctx, cancel := follow.Within(ctx, p.repository.Spec.Timeout)
		defer cancel()
		p.found, err = p.findVersion(ctx, p.access, p.obj.Spec.Chart, p.obj.Spec.Version)
		if err != nil {
			return p.failed(err)
		}
		p.name, p.version = p.obj.Spec.Chart, p.found.Version
	}
	if err != nil {
		return err
	}
	if err := p.mark(); err != nil {
		return err
	}
	found, ok := p.artifacts.Get(refOf(p.obj))
	status := &p.obj.Status
	if ok && status.Artifact != nil && status.Artifact.Digest == found.Digest && found.Revision == p.version &&
		status.ObservedChartName == p.name && status.ObservedGeneration == p.obj.Generation {
		p.stored, p.valuesFiles = found, p.merges()
		if status.ObservedValuesFiles != nil {
			p.valuesFiles = status.ObservedValuesFiles
		}
	}
	return nil
}

// findInTree finds the chart in the artifact of a GitRepository or a Bucket. Its path cannot lead out.
func (p *pass) findInTree() error {
	p.path = within(p.artifact.Dir, p.obj.Spec.Chart)
	name, version, err := helm.ReadChart(p.path)
	if err != nil {
		return reconcile.Stallf(reasonReference, "spec.chart: %s in %s: %w", p.obj.Spec.Chart, p.artifact.Ref, err)
	}
	p.name, p.version, p.found = name, version, helm.Version{Name: name, Version: version}
	return nil
}

func within(dir, name string) string {
	return filepath.Join(dir, filepath.FromSlash(path.Clean("/"+name)))
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// findVersion finds a version of a chart in a repository. An exact version in a registry is taken as it is.
func (p *pass) findVersion(ctx context.Context, from helm.Repository, chart, wanted string) (helm.Version, error) {
	if !strings.HasPrefix(from.URL, "oci://") {
		file, err := p.indexes.open(p.artifact.File)
		if err != nil {
			return helm.Version{}, err
		}
		versions, err := file.Versions(from.URL, chart)
		if err != nil {
			return helm.Version{}, err
		}
		return best(versions, chart, wanted)
	}
	if _, err := helm.ParseVersion(wanted); err == nil {
		return helm.Version{Name: chart, Version: wanted}, nil
	}
	versions, err := p.charts.Tags(ctx, from, chart)
	if err != nil {
		return helm.Version{}, err
	}
	return best(versions, chart, wanted)
}

func best(versions []helm.Version, chart, wanted string) (helm.Version, error) {
	if len(versions) == 0 {
		return helm.Version{}, fmt.Errorf("%w: the repository has no chart %s", helm.ErrNoVersion, chart)
	}
	return helm.Best(versions, wanted)
}

// mark adds to the version what tells the chart apart from the one that the source has.
func (p *pass) mark() error {
	var build []string
	if p.isTree() && p.obj.Spec.ReconcileStrategy == sourcev1.ReconcileStrategyRevision {
		_, hash, _ := strings.Cut(p.artifact.Revision[strings.LastIndexByte(p.artifact.Revision, '@')+1:], ":")
		const short = 12
		build = append(build, hash[:min(len(hash), short)])
	}
	if len(p.merges()) > 0 {
		build = append(build, strconv.FormatInt(p.obj.Generation, 10))
	}
	if len(build) == 0 {
		return nil
	}
	parsed, err := helm.ParseVersion(p.version)
	if err != nil {
		return reconcile.Stallf(reasonVersion, "the version %q of chart %s is not a semantic one: %w", p.version, p.name, err)
	}
	marked, err := parsed.SetMetadata(strings.Join(build, "."))
	if err != nil {
		return reconcile.Stallf(reasonVersion, "marking the version of chart %s: %w", p.name, err)
	}
	p.version = marked.String()
	return nil
}

// failed gives an error of a repository its reason.
func (p *pass) failed(err error) error {
	at := fmt.Sprintf("chart %s of HelmRepository %s", p.obj.Spec.Chart, p.repository.Name)
	var after time.Duration
	if e, ok := errors.AsType[*registry.Error](err); ok {
		after = e.After
	}
	refused := registry.KindOf(err) == registry.Denied || registry.KindOf(err) == registry.Untrusted
	if e, ok := errors.AsType[*helm.ServerError](err); ok {
		after, refused = e.After, e.Status == 401 || e.Status == 403
	}
	switch {
	case refused:
		return reconcile.Failf(sourcev1.AuthenticationFailedReason, "%s: %w", at, err)
	case errors.Is(err, helm.ErrNoVersion) && !source.IsOCI(p.repository):
		// A new index wakes the chart.
		return reconcile.Stallf(reasonReference, "spec.version: %s: %w", at, err)
	case errors.Is(err, helm.ErrNoVersion):
		return reconcile.Failf(reasonReference, "spec.version: %s: %w", at, err)
	case errors.Is(err, context.DeadlineExceeded):
		return reconcile.Failf(reasonPull, "%s: no answer within spec.timeout of the HelmRepository", at)
	}
	return reconcile.RetryAfter(reasonPull, fmt.Errorf("%s: %w", at, err), after)
}
