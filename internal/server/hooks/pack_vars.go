package hooks

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/pack/token"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/writeback"
)

// PackVarsDeps are what the deploy webhook needs.
type PackVarsDeps struct {
	// Client finds Packs, from a cache preferably, and writes them.
	Client client.Client
	// Fresh reads from the API server itself.
	Fresh client.Reader
	// Informers tell of changes of Packs, for Start.
	Informers cache.Informers
	// Releases renders Packs. Nil: neither charts nor images are looked at.
	Releases Releases
	// Tags asks registries. Nil: they are not asked.
	Tags Tags
	// Git writes the Packs that live there. Nil: none does.
	Git Repositories
	// Events records what calls did. Nil: the log alone does.
	Events reconcile.EventRecorder
	Log    *slog.Logger
}

// PackVars is the deploy webhook of Packs: CI posts vars, such as the tag of a new image. It answers
// POST /api/core/packs/{uid}/vars/, where uid is a Pack's status.uid.
type PackVars struct {
	PackVarsDeps
	ledger   ledger
	keys     keyedLocks
	images   *images
	limits   *limits
	rollouts *rollouts
	now      func() time.Time
}

// NewPackVars returns the handler.
func NewPackVars(d PackVarsDeps) *PackVars {
	h := &PackVars{PackVarsDeps: d, limits: newLimits(time.Now), rollouts: newRollouts(d.Client), now: time.Now}
	h.ledger = ledger{client: d.Client, fresh: d.Fresh, now: h.now}
	h.images = newImages(d.Releases, d.Tags, h.now)
	return h
}

// call is one request whose sender is known.
type call struct {
	posted
	wishes
	pack   *packv1.Pack // from the cache: not to be changed
	holder *token.Token
	key    string
	// request is the id of the call in logs and commits.
	request string
	from    string
	began   time.Time
}

// name of the Pack, with its namespace.
func (c *call) name() string { return c.pack.Namespace + "/" + c.pack.Name }

func (c *call) packKey() client.ObjectKey { return client.ObjectKeyFromObject(c.pack) }

// ServeHTTP implements http.Handler.
func (h *PackVars) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	c, err := h.receive(w, r)
	if err != nil {
		if c != nil {
			h.audit(c, nil, err)
		}
		h.refuse(w, r, err)
		return
	}
	var wakes <-chan struct{}
	if c.wait = c.wait && !c.dryRun; c.wait {
		// From before the change on, so that no later one is missed.
		waiting, leave := h.rollouts.join(c.packKey())
		if leave == nil {
			h.refuse(w, r, tooMany("too many calls wait for rollouts", heartbeat))
			return
		}
		defer leave()
		wakes = waiting
	}
	done, err := h.deploy(r.Context(), c)
	h.audit(c, done, err)
	switch {
	case err != nil:
		h.refuse(w, r, err)
	case c.wait:
		h.follow(w, r, &following{c, done, wakes})
	default:
		done.reply(w, http.StatusOK)
	}
}

// receive reads a request and finds out who sent it. With an error it returns the call only when that is known.
func (h *PackVars) receive(w http.ResponseWriter, r *http.Request) (*call, error) {
	if r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "the deploy webhook takes POST only", "use curl -X POST")
	}
	c := &call{from: r.RemoteAddr, began: h.now(), request: writeback.NewRequest()}
	var err error
	if c.wishes, err = readWishes(r); err != nil {
		return nil, err
	}
	if c.key, err = readKey(r.Header); err != nil {
		return nil, err
	}
	given, err := readVars(w, r)
	if err != nil {
		return nil, err
	}
	c.posted = *given
	if err := h.authenticate(r.Context(), r.PathValue("uid"), c); err != nil {
		return nil, err
	}
	return c, c.check(c.pack, c.holder)
}

// authenticate finds the Pack of the id and the holder of the token. Nobody learns which of the two is wrong.
func (h *PackVars) authenticate(ctx context.Context, uid string, c *call) error {
	if wait := h.limits.stranger(c.from, uid, c.token); wait > 0 {
		return tooMany("too many calls with a wrong token came from this address", wait)
	}
	var err error
	if c.pack, err = h.find(ctx, uid); err != nil {
		return err
	}
	if c.pack != nil {
		if c.holder, err = token.Find(ctx, h.Fresh, c.pack, c.token); err != nil {
			return err
		}
	}
	if c.holder == nil {
		h.limits.failed(c.from)
		h.Log.WarnContext(ctx, "deploy webhook called with a wrong token", "uid", uid, "from", c.from)
		return errToken
	}
	if wait := h.limits.known(uid, c.token); wait > 0 {
		return tooMany("too many calls came with this token", wait)
	}
	if err := token.Use(ctx, h.Client, c.pack, c.holder); err != nil {
		h.Log.WarnContext(ctx, "recording the use of a webhook token", "pack", c.name(), "error", err.Error())
	}
	return nil
}

// find returns the Pack of a short id, nil when there is none.
func (h *PackVars) find(ctx context.Context, uid string) (*packv1.Pack, error) {
	var packs packv1.PackList
	if err := h.Client.List(ctx, &packs, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(packs.Items, func(p packv1.Pack) bool { return pack.UID(p.UID) == uid })
	if i < 0 {
		return nil, nil
	}
	return &packs.Items[i], nil
}

// changeTimeout is how long a change may take; it goes on when the caller hangs up. It is below the server's time for a
// whole request.
const changeTimeout = 50 * time.Second

// deploy does what the call asks for, once for each idempotency key.
func (h *PackVars) deploy(ctx context.Context, c *call) (*answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	if c.dryRun {
		return h.rehearse(ctx, c)
	}
	if c.key == "" {
		return h.change(ctx, c)
	}
	defer h.keys.lock(string(c.pack.UID) + "/" + c.key)()
	given, err := h.ledger.begin(ctx, c)
	if err != nil || given != nil {
		return given, err
	}
	done, err := h.change(ctx, c)
	if isRefusal(err) {
		h.ledger.drop(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	// Before the caller knows: a commit of long ago is not looked for in Git.
	return done, h.ledger.finish(ctx, c, done)
}

// change writes the vars to where the Pack lives.
func (h *PackVars) change(ctx context.Context, c *call) (*answer, error) {
	obj, err := h.read(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := h.examine(ctx, obj, c)
	if err != nil {
		return nil, err
	}
	place, err := h.locate(ctx, obj, c)
	if err != nil {
		return nil, err
	}
	var done *answer
	if place != nil {
		done, err = h.commit(ctx, c, place, found)
	} else {
		done, err = h.apply(ctx, c, obj, found)
	}
	if err == nil {
		h.rollouts.set(c.packKey(), c.vars)
	}
	return done, err
}

// rehearse says what change would do.
func (h *PackVars) rehearse(ctx context.Context, c *call) (*answer, error) {
	obj, err := h.read(ctx, c)
	if err != nil {
		return nil, err
	}
	found, err := h.examine(ctx, obj, c)
	if err != nil {
		return nil, err
	}
	place, err := h.locate(ctx, obj, c)
	if err != nil {
		return nil, err
	}
	done := found.answer(c)
	done.DryRun = true
	if place != nil {
		done.in(place)
		done.Diff, err = h.Git.Preview(ctx, place, c.vars)
	} else {
		done.Diff = diff(obj, c.vars)
	}
	done.Changed = len(done.Diff) > 0
	return done, ofGit(err)
}

// finding is what was found out about a change before it is made.
type finding struct {
	images   []Image
	warnings []string
}

func (f *finding) answer(c *call) *answer {
	return &answer{Pack: c.name(), Vars: c.vars, Images: f.images, Warnings: f.warnings}
}
