// Package source finds the artifacts that objects refer to, whatever kind of source made them.
package source

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/source/external"
	"github.com/peyk/peyk/internal/tenancy"
)

// Object is a source: an object that has an artifact.
type Object interface {
	client.Object
	GetConditions() []metav1.Condition
	GetArtifact() *meta.Artifact
}

// kinds are the sources that there are.
var kinds = map[string]func() Object{
	sourcev1.GitRepositoryKind:    func() Object { return &sourcev1.GitRepository{} },
	sourcev1.OCIRepositoryKind:    func() Object { return &sourcev1.OCIRepository{} },
	sourcev1.BucketKind:           func() Object { return &sourcev1.Bucket{} },
	sourcev1.HelmChartKind:        func() Object { return &sourcev1.HelmChart{} },
	sourcev1.ExternalArtifactKind: func() Object { return &sourcev1.ExternalArtifact{} },
}

// Finder finds artifacts.
type Finder struct {
	// Reader reads sources from the cache.
	Reader client.Reader
	// Artifacts is where the sources of this process keep what they made.
	Artifacts *artifact.Store
	// Policy says which references are allowed.
	Policy tenancy.Policy

	external external.Fetcher
}

// Kinds are the kinds of sources, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Found is the artifact of a source.
type Found struct {
	*artifact.Artifact
	// Origin is the revision that the artifact was made of elsewhere, such as the commit of an OCI artifact. May be empty.
	Origin string
	// Object is the source.
	Object Object
}

// originAnnotation is where an OCI artifact names the commit that it was made of.
const originAnnotation = "org.opencontainers.image.revision"

// safetyNet is how long an object without an artifact waits, should nothing wake it.
const safetyNet = 30 * time.Second

// Find returns the artifact that the source of an object has now. from is the namespace of the object, field the name of
// the reference, as in spec.sourceRef. Errors carry their meaning: a forbidden reference and an unknown kind stall, an
// artifact that is not there yet is waited for.
func (f *Finder) Find(ctx context.Context, from string, ref artifact.Ref, field string) (*Found, error) {
	if err := f.Policy.CheckRef(from, ref.Namespace, field); err != nil {
		return nil, err
	}
	empty, ok := kinds[ref.Kind]
	if !ok {
		return nil, reconcile.Stallf("InvalidSpec", "%s.kind: %s is not a source; use one of %s", field, ref.Kind, strings.Join(Kinds(), ", "))
	}
	obj := empty()
	err := f.Reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, wait("%s not found: create it, or correct %s", ref, field)
	}
	if err != nil {
		return nil, reconcile.Failf(meta.ArtifactFailedReason, "reading %s: %w", ref, err)
	}
	found, origin, err := f.stored(ctx, ref, obj)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, wait("%s has no artifact yet%s", ref, why(obj))
	}
	return &Found{Artifact: found, Origin: origin, Object: obj}, nil
}

// stored returns the artifact in the store, or nil, and the revision that it was made of elsewhere. What other programs
// made is fetched first. What a source of this process says in its status is not asked for: it follows the artifact, and
// who was woken by the artifact would come too early.
func (f *Finder) stored(ctx context.Context, ref artifact.Ref, obj Object) (*artifact.Artifact, string, error) {
	if other, ok := obj.(*sourcev1.ExternalArtifact); ok {
		if other.Status.Artifact == nil {
			return nil, "", nil
		}
		found, err := f.external.Fetch(ctx, f.Artifacts, other)
		return found, other.Status.Artifact.Metadata[originAnnotation], err
	}
	found, ok := f.Artifacts.Get(ref)
	if !ok {
		return nil, "", nil
	}
	return found, found.Metadata[originAnnotation], nil
}

func wait(format string, args ...any) error {
	return reconcile.Wait(meta.ArtifactFailedReason, fmt.Sprintf(format, args...), safetyNet)
}

// why says what keeps a source from having an artifact.
func why(obj Object) string {
	if c := apimeta.FindStatusCondition(obj.GetConditions(), reconcile.Ready); c != nil && c.Status == metav1.ConditionFalse {
		return ": " + c.Message
	}
	return ""
}
