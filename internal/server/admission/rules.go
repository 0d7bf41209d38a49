package admission

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// Deps are what the rules need from others.
type Deps struct {
	// Pack finds out whether a Pack can work.
	Pack func(context.Context, *packv1.Pack) Verdict
	// Watch is the annotation that names what a workload is rolled for, and ParseWatch reads its value.
	Watch      string
	ParseWatch func(string) error
	// Charts are the repositories that ship inside Peyk.
	Charts []string
}

// Rules are how the objects of each kind are checked.
func Rules(d Deps) map[schema.GroupKind]Rule {
	ours := func(kind string) schema.GroupKind { return packv1.GroupVersion.WithKind(kind).GroupKind() }
	workload := Rule{Annotation: d.Watch, Value: d.ParseWatch}
	return map[schema.GroupKind]Rule{
		ours(packv1.PackKind): {Spec: typed(d.Pack), Annotation: d.Watch, Value: d.ParseWatch},
		ours(packv1.PackRepositoryKind): {Spec: typed(func(_ context.Context, r *packv1.PackRepository) Verdict {
			return repository(&r.Spec, d.Charts)
		})},
		ours(packv1.ClusterPackRepositoryKind): {Spec: typed(func(_ context.Context, r *packv1.ClusterPackRepository) Verdict {
			return repository(&r.Spec, d.Charts)
		})},
		ours(packv1.ConfigKind): {Spec: typed(func(_ context.Context, c *packv1.Config) Verdict {
			return vars(c.Spec.Vars)
		})},
		ours(packv1.ClusterConfigKind): {Spec: typed(func(_ context.Context, c *packv1.ClusterConfig) Verdict {
			return join(vars(c.Spec.Vars), selector("spec.namespaceSelector", c.Spec.NamespaceSelector))
		})},
		ours(packv1.SecretReflectorKind): {Spec: typed(func(_ context.Context, r *packv1.SecretReflector) Verdict {
			return reflector(r)
		})},
		appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind():  workload,
		appsv1.SchemeGroupVersion.WithKind("StatefulSet").GroupKind(): workload,
		appsv1.SchemeGroupVersion.WithKind("DaemonSet").GroupKind():   workload,
	}
}

// typed makes a Check of one that reads the object by type.
func typed[T any](check func(context.Context, *T) Verdict) Check {
	return func(ctx context.Context, raw []byte) Verdict {
		object := new(T)
		if err := json.Unmarshal(raw, object); err != nil {
			return Verdict{Problems: []string{fmt.Sprintf("the object cannot be read: %v", err)}}
		}
		return check(ctx, object)
	}
}

func join(verdicts ...Verdict) (all Verdict) {
	for _, v := range verdicts {
		all.Problems = append(all.Problems, v.Problems...)
		all.Warnings = append(all.Warnings, v.Warnings...)
	}
	return all
}

func problemf(format string, args ...any) Verdict {
	return Verdict{Problems: []string{fmt.Sprintf(format, args...)}}
}
