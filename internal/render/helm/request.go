package helm

import (
	"bytes"
	"context"
	"log/slog"
	"time"
)

// Request is a release as it is wanted.
type Request struct {
	Namespace, Name string
	// Storage is the namespace of the release's records. Default: Namespace.
	Storage string
	Chart   *Chart
	Values  map[string]any
	// Labels are set on every object of a Pack's release; not on hooks, and not on what the objects make.
	Labels map[string]string
	// Mark is written on the record, so that a request which was met can be told from one that was not. Optional.
	Mark string
	// Timeout of every hook and of waiting for the objects, and how long somebody else's operation on a Pack's release is
	// waited for.
	Timeout time.Duration

	// Manager is the field manager that objects are applied with. Default: FieldManager.
	Manager string
	// Owner is written on the records that are made, so that they can be told from those of others.
	Owner string
	// Wait says what is waited for.
	Wait Wait
	// WaitForJobs counts a Job as ready only when it is complete.
	WaitForJobs bool
	// Readiness tells when objects are ready. Nil: Helm's own hooks-only waiting.
	Readiness Readiness
	// WaitContext ends the waiting for objects, not the action. Default: never.
	WaitContext context.Context
	// New says that the release's storage was just seen to have no record of it.
	New bool
	// Begun is told when the action's turn has come.
	Begun func()
	// Observe is told of every record that is written.
	Observe func(Observed)
	// Log hears what Helm does. Default: nobody.
	Log slog.Handler

	// Post changes what was rendered; PostRenderStrategy says what it is given.
	Post               PostRenderer
	PostRenderStrategy PostRenderStrategy
	CRDs               CRDPolicy
	// CRDLabels are set on the definitions in the chart's crds folder.
	CRDLabels       map[string]string
	ServerSideApply ServerSide
	// TakeOwnership makes objects part of the release that exist and are nobody's or another release's.
	TakeOwnership bool
	// CreateNamespace makes Namespace, should it be missing. Only when installing.
	CreateNamespace bool
	// Replace reuses a name that an uninstalled or failed release has. Only when installing.
	Replace        bool
	DisableHooks   bool
	SkipSchema     bool
	PreserveValues bool // of the release before
	Force          bool // replaces objects that are not applied by the server
	CleanupOnFail  bool
	MaxHistory     int
	// KeepHistory and Propagation are for uninstalling.
	KeepHistory bool
	Propagation string
	// TestsOnly and TestsExcept choose among the tests by name. Empty: all of them.
	TestsOnly, TestsExcept []string

	// rehearsed ends the action once the chart is rendered.
	rehearsed bool
}

// Wait is what an action waits for.
type Wait int

// What an action waits for.
const (
	WaitHooks   Wait = iota // hooks only
	WaitObjects             // hooks, and the objects by Request.Readiness
	WaitLegacy              // hooks and objects as Helm 3 did, by polling
)

// ServerSide says whether the API server or the client works out how an object is to become.
type ServerSide string

// The ways to apply objects. Auto does as the release did before.
const (
	ServerSideEnabled  ServerSide = "true"
	ServerSideDisabled ServerSide = "false"
	ServerSideAuto     ServerSide = "auto"
)

// PostRenderStrategy says what a PostRenderer is given.
type PostRenderStrategy string

// What a PostRenderer is given: hooks with the objects, hooks by themselves, or no hooks.
const (
	PostRenderCombined PostRenderStrategy = "combined"
	PostRenderSeparate PostRenderStrategy = "separate"
	PostRenderNoHooks  PostRenderStrategy = "nohooks"
)

// CRDPolicy says what becomes of the definitions in a chart's crds folder.
type CRDPolicy string

// What becomes of the definitions in a chart's crds folder.
const (
	CRDsSkip          CRDPolicy = "Skip"
	CRDsCreate        CRDPolicy = "Create"
	CRDsCreateReplace CRDPolicy = "CreateReplace"
)

// PostRenderer changes the manifest that a chart was rendered to.
type PostRenderer func(manifest []byte) ([]byte, error)

// Run implements Helm's PostRenderer.
func (p PostRenderer) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	if p == nil {
		return rendered, nil
	}
	out, err := p(rendered.Bytes())
	if err != nil {
		return nil, err
	}
	return bytes.NewBuffer(out), nil
}

func (r Request) task() *task {
	return &task{
		namespace: r.Namespace, storage: r.Storage, manager: r.Manager, owner: r.Owner,
		waitCtx: r.WaitContext, readiness: r.Readiness, log: r.Log, observe: r.Observe,
		fresh: r.New, name: r.Name,
	}
}
