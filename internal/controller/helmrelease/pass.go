package helmrelease

import (
	"fmt"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source"
)

// pass is the state that the phases of one pass share.
type pass struct {
	*Controller
	obj   *v2.HelmRelease
	key   types.NamespacedName
	owner apply.Owner
	memo  *memo

	health    *healthRules
	ignored   ignoreRules         // differences that are no drift
	template  *sourcev1.HelmChart // that was made for spec.chart, with the generation that it has now
	found     *source.Found
	chart     *helm.Chart
	ociDigest string
	values    map[string]any
	config    string // digest of the values
	cluster   *kube.Client
	releases  *helm.Engine
	force     bool // an upgrade was asked for
}

func (c *Controller) plan(obj *v2.HelmRelease) reconcile.Pass {
	key := client.ObjectKeyFromObject(obj)
	p := &pass{Controller: c, obj: obj, key: key, owner: ownerOf(obj), memo: c.memo(key)}
	return reconcile.Pass{
		Phases: []reconcile.Phase{
			{Name: "validate", Run: p.validate},
			{Name: "outcome", Run: p.takeOutcome},
			{Name: "template", Run: p.applyTemplate},
			{Name: "dependencies", Run: p.checkDependencies},
			{Name: "source", Run: p.findSource},
			{Name: "values", Run: p.composeValues},
			{Name: "chart", Run: p.openChart},
			{Name: "cluster", Run: p.connect},
			{Name: "target", Run: p.checkTarget},
			{Name: "release", Run: p.release},
		},
		Ready: p.ready,
	}
}

// ready is what Ready says of a release that is as it should be.
func (p *pass) ready() (reason, message string) {
	if c := p.summary(); c != nil {
		return c.Reason, c.Message
	}
	return meta.SucceededReason, fmt.Sprintf("Release %s/%s is in sync", p.obj.GetReleaseNamespace(), p.releaseName())
}

func (p *pass) releaseName() string { return releaseName(p.obj) }
