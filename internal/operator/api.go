package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
	"github.com/peyk/peyk/charts"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/controller/pack"
	"github.com/peyk/peyk/internal/controller/redeploy"
	"github.com/peyk/peyk/internal/diff"
	packs "github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/server"
	"github.com/peyk/peyk/internal/server/admission"
	"github.com/peyk/peyk/internal/server/certificate"
	"github.com/peyk/peyk/internal/server/packreview"
)

// addAPI adds what the cluster's API server calls: admission, and the reviews of Packs.
func addAPI(mgr ctrl.Manager, e *engines, o Options) error {
	if o.APIAddr == "" {
		return nil
	}
	keeper := &certificate.Keeper{
		Client: mgr.GetClient(), Secret: types.NamespacedName{Namespace: o.Namespace, Name: "peyk-api-tls"},
		Names: []string{fmt.Sprintf("peyk.%s.svc", o.Namespace)}, Clock: clock.RealClock{},
	}
	callers := certificate.Callers{
		Webhooks:   o.Namespace + "-admission",
		APIService: renderv1.GroupVersion.Version + "." + renderv1.GroupVersion.Group,
	}
	if err := certificate.Setup(mgr, keeper, callers); err != nil {
		return err
	}
	users, err := packreview.NewFrontProxy(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("learning who calls for users: %w", err)
	}
	builtin, err := charts.Repositories()
	if err != nil {
		return fmt.Errorf("reading the built-in charts: %w", err)
	}
	studio := &studio{engines: e, options: o, reader: mgr.GetClient()}
	rules := admission.Rules(admission.Deps{
		Pack: studio.examine, Watch: redeploy.Annotation, Charts: slices.Sorted(maps.Keys(builtin)),
		ParseWatch: func(value string) error { _, err := redeploy.Parse(value); return err },
	})
	routes := append(
		packreview.Routes(packreview.Deps{Client: mgr.GetClient(), Users: users, Renderer: studio, Log: o.Log}),
		server.Route{Pattern: "POST /admission", Handler: admission.Handler(rules, o.Log)},
	)
	return errors.Join(
		mgr.Add(users),
		mgr.Add(server.New("api", o.APIAddr, o.Log, routes).WithTLS(keeper.TLS())),
	)
}

// studio looks at Packs without touching them.
type studio struct {
	engines *engines
	options Options
	reader  client.Reader
}

// Render implements packreview.Renderer: a Pack is rendered and compared with the rights that it would be applied with.
func (s *studio) Render(ctx context.Context, obj *packv1.Pack) (*helm.Rendered, *diff.Differ, error) {
	identity, err := s.engines.clients.For(s.options.Tenancy.Identity(obj.Namespace, ""))
	if err != nil {
		return nil, nil, err
	}
	material := pack.Material{Reader: s.reader, Client: identity, Catalog: s.engines.catalog}
	rendered, err := pack.Preview(ctx, obj, material)
	if err != nil {
		return nil, nil, err
	}
	rendered.Hide = s.hideApplied(ctx, obj, material, rendered.Hide)
	cluster, err := client.New(identity.Config(), client.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("making the client: %w", err)
	}
	return rendered, &diff.Differ{Client: cluster, Manager: apply.Packs.Manager, Hide: rendered.Hide}, nil
}

// hideApplied takes out of texts also what the Pack in the cluster decrypts: an object that is compared may still hold it.
func (s *studio) hideApplied(ctx context.Context, obj *packv1.Pack, m pack.Material, hide func(string) string) func(string) string {
	live := &packv1.Pack{}
	if err := s.reader.Get(ctx, client.ObjectKeyFromObject(obj), live); err != nil {
		return hide
	}
	opened := pack.Opened(ctx, live, m)
	if len(opened) == 0 {
		return hide
	}
	before := packs.NewRedactor(packs.Vars{}, nil, opened...)
	if hide == nil {
		return before.Text
	}
	return func(text string) string { return before.Text(hide(text)) }
}

// examine says whether a Pack can work. What is encrypted in it is not opened: whoever may write Packs need not be able to
// find out whether a text fits a schema.
func (s *studio) examine(ctx context.Context, obj *packv1.Pack) (v admission.Verdict) {
	levels, err := packs.ReadLevels(ctx, s.reader, obj.Namespace)
	if err != nil {
		return admission.Verdict{Warnings: []string{"the Pack is not checked yet: " + err.Error()}}
	}
	for _, err := range packs.Validate(ctx, obj, levels, pack.Finder{Reader: s.reader, Catalog: s.engines.catalog}) {
		if errors.Is(err, packs.ErrNotYet) {
			v.Warnings = append(v.Warnings, err.Error())
		} else {
			v.Problems = append(v.Problems, err.Error())
		}
	}
	return v
}
