package follow

import (
	"context"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
)

// Steps are a pass over a source: phases, the last of which stores an artifact.
type Steps struct {
	// Find are the phases before the artifact is stored.
	Find []reconcile.Phase
	// Store stores the artifact and describes it in the status.
	Store func(context.Context) error
	// Stored returns reason and message of an object whose artifact is stored.
	Stored func() (reason, message string)
	// News returns in what the object's artifact is older than what was found, and no reason where nothing was found, or
	// nothing new.
	News func() (reason, message string)
	// Close ends what the phases began. Optional.
	Close func()
}

// Pass returns the pass over obj.
func Pass(obj Source, s Steps) reconcile.Pass {
	return reconcile.Pass{
		Phases: append(s.Find,
			reconcile.Phase{Name: "store", Run: s.Store, Failed: sourcev1.StorageOperationFailedCondition},
			// A phase of its own: while nothing newer can be stored, the older artifact still is.
			reconcile.Phase{
				Name: "tell", Run: func(context.Context) error { return nil }, Done: sourcev1.ArtifactInStorageCondition,
				Reason:  func() string { reason, _ := s.Stored(); return reason },
				Message: func() string { _, message := s.Stored(); return message },
			},
		),
		Ready: s.Stored,
		Settle: func(error) {
			if s.Close != nil {
				s.Close()
			}
		},
		Behind: reconcile.Behind{Type: sourcev1.ArtifactOutdatedCondition, Why: func() (reason, message string) {
			if obj.GetArtifact() == nil {
				return "", ""
			}
			return s.News()
		}},
	}
}

// The reasons of the ArtifactOutdated condition.
const (
	NewRevision   = "NewRevision"
	NewChart      = "NewChart"
	IncludeChange = "IncludeChange"
)

// Verification returns the phase that checks signatures. Where none are to be checked, it takes away what an earlier check
// said.
func Verification(wanted bool, verify reconcile.Phase) reconcile.Phase {
	if wanted {
		verify.Name, verify.Done = "verify", sourcev1.SourceVerifiedCondition
		return verify
	}
	// A phase that succeeds takes the condition of its failure away.
	return reconcile.Phase{
		Name: "skip verification", Run: func(context.Context) error { return nil }, Failed: sourcev1.SourceVerifiedCondition,
	}
}

// IsNew says whether a stored artifact is another one than obj's status says.
func IsNew(obj Source, stored *artifact.Artifact) bool { return !stored.Is(obj.GetArtifact()) }

func readyMessage(obj Source) string {
	if c := apimeta.FindStatusCondition(obj.GetConditions(), reconcile.Ready); c != nil {
		return c.Message
	}
	return ""
}
