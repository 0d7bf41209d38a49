package artifact

import (
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Is says whether is describes a.
func (a *Artifact) Is(is *meta.Artifact) bool {
	return is != nil && a.Digest == is.Digest && a.Revision == is.Revision
}

// Describe returns what the status of the artifact's object says of it, given what it said until now. An artifact that is
// described already keeps its time, so that a store which was lost and filled again changes no status.
func (a *Artifact) Describe(was *meta.Artifact) *meta.Artifact {
	size := a.Size
	is := &meta.Artifact{
		Digest: a.Digest, Path: a.Path, URL: a.URL, Revision: a.Revision, Size: &size, Metadata: a.Metadata,
		LastUpdateTime: metav1.NewTime(a.UpdatedAt),
	}
	if was == nil {
		return is
	}
	same := is.DeepCopy()
	same.LastUpdateTime = was.LastUpdateTime
	if equality.Semantic.DeepEqual(was, same) {
		return was
	}
	return is
}
