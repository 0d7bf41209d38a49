package pack

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// preferred is the repository that is looked into first for a chart whose repository is not named.
const preferred = "kubit-paas"

// findRepository decides which repository the chart comes from, and learns its versions there.
func (p *pass) findRepository(ctx context.Context) error {
	if p.wanted.repository == "" {
		if err := p.chooseRepository(ctx); err != nil {
			return err
		}
	} else {
		p.repository = helm.Key{Kind: p.wanted.kind, Name: p.wanted.repository}
		if p.wanted.kind == packv1.PackRepositoryKind {
			p.repository.Namespace = p.key.Namespace
		}
	}
	var err error
	p.versions, err = p.catalog.Versions(ctx, p.repository, p.wanted.name)
	var unread *helm.UnreadError
	switch {
	case errors.As(err, &unread):
		if unread.Problem != "" && p.remain(unread.Error()) {
			return nil
		}
		return p.unread(ctx, unread)
	case err != nil:
		return reconcile.Fail(reasonRepository, err)
	case len(p.versions) == 0 && p.remain(fmt.Sprintf("chart %s is not in %s any more", p.wanted.name, p.repository)):
		return nil
	case len(p.versions) == 0:
		return p.invalidf("spec.chart.name: chart %q is not in %s, which has %s", p.wanted.name, p.repository, enumerate(p.catalog.Charts(p.repository)))
	}
	return nil
}

// chooseRepository finds the cluster-wide repository that holds the chart. One that was chosen stays.
func (p *pass) chooseRepository(ctx context.Context) error {
	holding := p.catalog.Holding(packv1.ClusterPackRepositoryKind, p.wanted.name, preferred)
	if p.obj.Status.ResolvedFor == p.wanted.String() {
		for _, key := range holding {
			if key.String() == p.obj.Status.Repository {
				p.repository = key
				return nil
			}
		}
	}
	first := helm.Key{Kind: packv1.ClusterPackRepositoryKind, Name: preferred}
	known := p.catalog.Charts(first)
	if known == nil {
		// What the preferred repository has decides, so it is waited for while there is one.
		var obj packv1.ClusterPackRepository
		err := p.reader.Get(ctx, types.NamespacedName{Name: preferred}, &obj)
		if err == nil {
			return reconcile.Wait(reasonRepository, "waiting until it is known what "+first.String()+" has", safetyNet)
		}
		if !apierrors.IsNotFound(err) {
			return reconcile.Failf(reasonRepository, "reading %s: %w", first, err)
		}
	}
	if len(holding) > 0 {
		p.repository = holding[0]
		return nil
	}
	if unread := p.catalog.Unread(packv1.ClusterPackRepositoryKind); len(unread) > 0 {
		names := make([]string, len(unread))
		for i, key := range unread {
			names[i] = key.String()
		}
		return reconcile.Wait(reasonRepository, fmt.Sprintf("no ClusterPackRepository is known to have a chart %q; waiting until it is known what %s has", p.wanted.name, enumerate(names)), safetyNet)
	}
	return p.invalidf("spec.chart: no ClusterPackRepository has a chart %q; %s has %s: correct spec.chart.name, or name a repository in spec.chart.repository", p.wanted.name, preferred, enumerate(known))
}

// unread tells a repository that is not there from one that is about to be read.
func (p *pass) unread(ctx context.Context, unread *helm.UnreadError) error {
	var obj client.Object = &packv1.ClusterPackRepository{}
	if p.repository.Kind == packv1.PackRepositoryKind {
		obj = &packv1.PackRepository{}
	}
	err := p.reader.Get(ctx, types.NamespacedName{Namespace: p.repository.Namespace, Name: p.repository.Name}, obj)
	switch {
	case apierrors.IsNotFound(err):
		return p.invalid(pack.NotYet(fmt.Errorf("spec.chart.repository: %s does not exist: create it, or correct kind and name", p.repository)))
	case err != nil:
		return reconcile.Failf(reasonRepository, "reading %s: %w", p.repository, err)
	case unread.Problem != "":
		return reconcile.Fail(reasonRepository, unread)
	}
	return reconcile.Wait(reasonRepository, unread.Error(), safetyNet)
}

// mayUse says whether a Pack may get its chart from the repository.
func mayUse(obj *packv1.Pack, key helm.Key) bool {
	ref := obj.Spec.Chart.Repository
	if ref == nil {
		return key.Kind == packv1.ClusterPackRepositoryKind
	}
	kind := ref.Kind
	if kind == "" {
		kind = packv1.ClusterPackRepositoryKind
	}
	return kind == key.Kind && (key.Namespace == "" || key.Namespace == obj.Namespace) &&
		(ref.Name == key.Name || strings.Contains(ref.Name, "{{"))
}

// enumerate joins names, a few of them.
func enumerate(names []string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "nothing"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
