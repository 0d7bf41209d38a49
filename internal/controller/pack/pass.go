package pack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/vault"
)

// Reasons of the Ready condition.
const (
	reasonInvalid     = "Invalid"
	reasonApplyFailed = "ApplyFailed"
	reasonRepository  = "RepositoryNotReady"
	reasonUnhealthy   = "HealthCheckFailed"
	reasonBusy        = "ReleaseBusy"
	reasonRemove      = "RemoveFailed"
)

// Labels that name the Pack on every object of its release.
const (
	nameLabel      = "peyk.dev/pack-name"
	namespaceLabel = "peyk.dev/pack-namespace"
)

// defaultTimeout is how long a hook may take, and the objects to become healthy.
const defaultTimeout = 5 * time.Minute

// pass is the state that the phases of one pass share.
type pass struct {
	*Controller
	*actor
	obj   *packv1.Pack
	key   types.NamespacedName
	owner apply.Owner
	// phase is what becomes of status.phase; empty leaves it to the outcome.
	phase packv1.PackPhase

	repairErr  error
	still      string // why the Pack is left as it is
	fresh      bool   // the release was made since the status was written
	vault      *vault.Opener
	levels     pack.Levels
	vars       pack.Vars
	wanted     wanted
	repository helm.Key
	versions   []string
	chart      *helm.Chart
	values     map[string]any
	redact     *pack.Redactor
	digest     string
}

// wanted is spec.chart with the vars in it resolved.
type wanted struct {
	kind, repository, name, version string
}

func (w wanted) String() string {
	return fmt.Sprintf("%s/%s/%s %s", w.kind, w.repository, w.name, w.version)
}

func ownerOf(key types.NamespacedName) apply.Owner {
	return apply.Owner{Kind: packv1.PackKind, Namespace: key.Namespace, Name: key.Name}
}

func (c *Controller) plan(obj *packv1.Pack) reconcile.Pass {
	key := client.ObjectKeyFromObject(obj)
	p := &pass{Controller: c, obj: obj, key: key, owner: ownerOf(key)}
	obj.Status.UID = pack.UID(obj.UID)
	return reconcile.Pass{
		Phases: []reconcile.Phase{
			{Name: "identity", Run: p.identify},
			{Name: "repair", Run: p.repair},
			{Name: "restart", Run: p.restart},
			{Name: "vars", Run: p.resolveVars},
			{Name: "repository", Run: p.findRepository},
			{Name: "chart", Run: p.resolveChart},
			{Name: "values", Run: p.resolveValues},
			{Name: "release", Run: p.applyRelease},
			{Name: "health", Run: p.checkHealth},
		},
		Ready:  p.ready,
		Settle: p.settle,
	}
}

// identify finds with whose rights the Pack acts.
func (p *pass) identify(context.Context) (err error) {
	if p.actor, err = p.Controller.actor(p.key.Namespace); err != nil {
		return p.failed(err)
	}
	return nil
}

func (p *pass) timeout() time.Duration { return timeoutOf(p.obj) }

func timeoutOf(obj *packv1.Pack) time.Duration {
	if obj.Spec.Timeout == nil || obj.Spec.Timeout.Duration <= 0 {
		return defaultTimeout
	}
	return obj.Spec.Timeout.Duration
}

// invalid says that the Pack itself is wrong: it is left alone until it, or what it refers to, changes. That a vault key
// could not be read is not the Pack's fault.
func (p *pass) invalid(err error) error {
	if _, unread := errors.AsType[*vault.AccessError](err); unread {
		return p.failed(err)
	}
	p.phase = packv1.PackInvalid
	return reconcile.Stall(reasonInvalid, err)
}

func (p *pass) invalidf(format string, args ...any) error {
	return p.invalid(fmt.Errorf(format, args...))
}

// ready is the message of a Pack that is as it should be.
func (p *pass) ready() (reason, message string) {
	status := &p.obj.Status
	message = fmt.Sprintf("%s %s is applied as revision %d", p.wanted.name, status.ResolvedVersion, status.ReleaseRevision)
	if newer := status.NewestVersion; newer != "" && newer != status.ResolvedVersion {
		message += fmt.Sprintf("; version %s is available, set spec.autoUpgrade or change spec.chart.version to get it", newer)
	}
	if p.still != "" {
		message += "; changes wait, for " + p.still
	}
	return reconcile.ReasonSucceeded, message
}

// settle derives phase and last error from the outcome.
func (p *pass) settle(err error) {
	p.noteUses(p.key, p.vars.Used())
	status := &p.obj.Status
	switch {
	case p.phase != "":
		status.Phase = p.phase
	case reconcile.IsFailure(err):
		status.Phase = packv1.PackApplyFailed
	case status.Phase == "":
		status.Phase = packv1.PackPending
	}
	switch status.Phase {
	case packv1.PackInvalid, packv1.PackApplyFailed:
		if err != nil && reconcile.IsFailure(err) {
			status.LastError = err.Error()
		}
	case packv1.PackApplied:
		status.LastError = ""
	}
}
