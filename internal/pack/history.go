package pack

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// revisionLabel names, on a ControllerRevision, the Pack by its short id.
const revisionLabel = "k8s.kubit.ir/pack"

// defaultHistory is how many revisions are kept.
const defaultHistory = 10

// Revision is a desired state that was applied for a Pack. Nothing in it is decrypted.
type Revision struct {
	// Number counts from 1.
	Number int64
	// Time is when it was applied first.
	Time time.Time
	// ChartVersion is the version that was installed, Repository where it came from, as kind/name.
	ChartVersion, Repository string
	// Spec holds chart, vars and values as they were written.
	Spec packv1.PackSpec
}

// content is what a ControllerRevision holds.
type content struct {
	ChartVersion string          `json:"chartVersion"`
	Repository   string          `json:"repository"`
	Spec         packv1.PackSpec `json:"spec"`
}

// Revisions returns the revisions of a Pack, the newest first.
func Revisions(ctx context.Context, reader client.Reader, obj *packv1.Pack) ([]Revision, error) {
	kept, err := keptRevisions(ctx, reader, obj)
	if err != nil {
		return nil, err
	}
	revisions := make([]Revision, 0, len(kept))
	for i := range kept {
		var c content
		if err := json.Unmarshal(kept[i].Data.Raw, &c); err != nil {
			return nil, fmt.Errorf("reading revision %d of Pack %s: %w", kept[i].Revision, obj.Name, err)
		}
		revisions = append(revisions, Revision{
			Number: kept[i].Revision, Time: kept[i].CreationTimestamp.Time, ChartVersion: c.ChartVersion, Repository: c.Repository, Spec: c.Spec,
		})
	}
	return revisions, nil
}

// SpecOf returns the spec that takes a Pack back to a revision. What says how the Pack is worked on, such as a timeout,
// stays as it is. The constraint of the revision is taken when it still means the version that was installed then;
// otherwise the version itself.
func SpecOf(obj *packv1.Pack, r Revision) packv1.PackSpec {
	spec := *obj.Spec.DeepCopy()
	was := r.Spec.DeepCopy()
	spec.Chart, spec.Vars, spec.Values = was.Chart, was.Vars, was.Values
	same := versionText(obj.Spec.Chart) == versionText(was.Chart) && obj.Spec.Chart.Name == was.Chart.Name && obj.Status.ResolvedVersion == r.ChartVersion
	if !same && r.ChartVersion != "" {
		version := r.ChartVersion
		spec.Chart.Version = &version
	}
	return spec
}

func versionText(c packv1.PackChart) string {
	if c.Version == nil {
		return ""
	}
	return *c.Version
}

// Record keeps the desired state that was just applied as a revision, unless it is that of the last one, and lets go of
// those beyond spec.historyLimit. It returns the number of the revision.
func Record(ctx context.Context, c client.Client, reader client.Reader, obj *packv1.Pack) (int64, error) {
	data, err := json.Marshal(content{
		ChartVersion: obj.Status.ResolvedVersion, Repository: obj.Status.Repository,
		Spec: packv1.PackSpec{Chart: obj.Spec.Chart, Vars: obj.Spec.Vars, Values: obj.Spec.Values},
	})
	if err != nil {
		return 0, fmt.Errorf("encoding a revision of Pack %s: %w", obj.Name, err)
	}
	var kept []appsv1.ControllerRevision
	if obj.Status.Revision > 0 {
		if kept, err = keptRevisions(ctx, reader, obj); err != nil {
			return 0, err
		}
	}
	number, err := add(ctx, c, obj, kept, data)
	if apierrors.IsAlreadyExists(err) {
		// It was kept before, and the status was not written then.
		if kept, err = keptRevisions(ctx, reader, obj); err == nil {
			number, err = add(ctx, c, obj, kept, data)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("keeping a revision of Pack %s: %w", obj.Name, err)
	}
	limit := defaultHistory - 1 // beside the new one
	if l := obj.Spec.HistoryLimit; l != nil {
		limit = int(*l) - 1
	}
	kept = slices.DeleteFunc(kept, func(r appsv1.ControllerRevision) bool { return r.Revision == number })
	for i := max(limit, 0); i < len(kept); i++ {
		if err := c.Delete(ctx, &kept[i]); err != nil && !apierrors.IsNotFound(err) {
			return number, fmt.Errorf("letting go of revision %d of Pack %s: %w", kept[i].Revision, obj.Name, err)
		}
	}
	return number, nil
}

// add creates the revision after those that are kept, unless the newest of them is the same.
func add(ctx context.Context, c client.Client, obj *packv1.Pack, kept []appsv1.ControllerRevision, data []byte) (int64, error) {
	number := int64(1)
	if len(kept) > 0 {
		if equalContent(kept[0].Data.Raw, data) {
			return kept[0].Revision, nil
		}
		number = kept[0].Revision + 1
	}
	uid := UID(obj.UID)
	owner := metav1.NewControllerRef(obj, packv1.GroupVersion.WithKind(packv1.PackKind))
	owner.BlockOwnerDeletion = nil // deleting a Pack waits for its release, not for its history
	return number, c.Create(ctx, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: obj.Namespace, Name: fmt.Sprintf("%s-%s-%d", obj.Name, uid, number),
			Labels: map[string]string{revisionLabel: uid}, OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Revision: number, Data: runtime.RawExtension{Raw: data},
	})
}

// equalContent compares two revisions: the API server does not give the text back byte by byte.
func equalContent(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	one, _ := json.Marshal(x)
	other, _ := json.Marshal(y)
	return string(one) == string(other)
}

func keptRevisions(ctx context.Context, reader client.Reader, obj *packv1.Pack) ([]appsv1.ControllerRevision, error) {
	var list appsv1.ControllerRevisionList
	if err := reader.List(ctx, &list, client.InNamespace(obj.Namespace), client.MatchingLabels{revisionLabel: UID(obj.UID)}); err != nil {
		return nil, fmt.Errorf("listing the revisions of Pack %s: %w", obj.Name, err)
	}
	slices.SortFunc(list.Items, func(a, b appsv1.ControllerRevision) int { return int(b.Revision - a.Revision) })
	return list.Items, nil
}
