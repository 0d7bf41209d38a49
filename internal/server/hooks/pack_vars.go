package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/pack/token"
)

// packVars is the deploy webhook of Packs: CI posts vars, such as the tag of a new image.
type packVars struct {
	packs  client.Reader // cached: to find the Pack of an id
	fresh  client.Reader // the API server itself
	writer client.Client
	log    *slog.Logger
}

// PackVars returns the handler of POST /api/core/packs/{uid}/vars/, where uid is a Pack's status.uid. Packs finds the
// Pack and may be cached; fresh must not be.
func PackVars(packs client.Client, fresh client.Reader, log *slog.Logger) http.Handler {
	return &packVars{packs: packs, fresh: fresh, writer: packs, log: log}
}

// answer is the body of a success.
type answer struct {
	Changed bool                       `json:"changed"`
	Pack    string                     `json:"pack"`
	Vars    map[string]json.RawMessage `json:"vars"`
}

// refusal is a failure with its status code and the way out.
type refusal struct {
	code  int
	Err   string `json:"error"`
	Mend  string `json:"mend"`
	cause error
}

// Error returns what is wrong.
func (r *refusal) Error() string { return r.Err }

func refuse(code int, what, mend string) *refusal { return &refusal{code: code, Err: what, Mend: mend} }

var errToken = refuse(http.StatusUnauthorized, "the webhook does not exist, or the token is not one of its tokens",
	"send the header 'Authorization: Bearer TOKEN' or the form field token; 'peyk pack token' makes a new token")

// ServeHTTP implements http.Handler.
func (h *packVars) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	done, err := h.serve(w, r)
	if err == nil {
		reply(w, http.StatusOK, done)
		return
	}
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = &refusal{code: http.StatusInternalServerError, Err: "the change could not be written", Mend: "try again; Peyk's log has the reason", cause: err}
	}
	if refused.cause != nil {
		h.log.ErrorContext(r.Context(), "deploy webhook failed", "uid", r.PathValue("uid"), "error", refused.cause)
	}
	if refused.code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if refused.code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	reply(w, refused.code, refused)
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func (h *packVars) serve(w http.ResponseWriter, r *http.Request) (*answer, error) {
	if r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "the deploy webhook takes POST only", "use curl -X POST")
	}
	given, err := readVars(w, r)
	if err != nil {
		return nil, err
	}
	found, err := h.find(r.Context(), r.PathValue("uid"))
	if err != nil {
		return nil, err
	}
	valid, err := token.Valid(r.Context(), h.fresh, found, given.token)
	if err != nil {
		return nil, err
	}
	if !valid {
		return nil, errToken
	}
	if err := given.check(found); err != nil {
		return nil, err
	}
	changed, err := h.change(r.Context(), client.ObjectKeyFromObject(found), given.vars)
	if err != nil {
		return nil, err
	}
	name := found.Namespace + "/" + found.Name
	h.log.InfoContext(r.Context(), "deploy webhook called", "pack", name, "vars", given.names(), "changed", len(changed) > 0, "from", r.RemoteAddr)
	return &answer{Changed: len(changed) > 0, Pack: name, Vars: given.vars}, nil
}

// find returns the Pack of a short id.
func (h *packVars) find(ctx context.Context, uid string) (*packv1.Pack, error) {
	var packs packv1.PackList
	if err := h.packs.List(ctx, &packs); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(packs.Items, func(p packv1.Pack) bool { return pack.UID(p.UID) == uid })
	if i < 0 {
		return nil, errToken
	}
	return &packs.Items[i], nil
}

// attempts is how often a write is tried when somebody else changed the Pack in between.
const attempts = 5

// change writes the vars that are not so yet, and returns their names.
func (h *packVars) change(ctx context.Context, key client.ObjectKey, vars map[string]json.RawMessage) ([]string, error) {
	for range attempts {
		var obj packv1.Pack
		err := h.fresh.Get(ctx, key, &obj)
		if apierrors.IsNotFound(err) {
			return nil, errToken
		}
		if err != nil {
			return nil, err
		}
		if !obj.DeletionTimestamp.IsZero() {
			return nil, refuse(http.StatusConflict, "the Pack is being removed", "create it again first")
		}
		changed := differing(&obj, vars)
		if len(changed) == 0 {
			return nil, nil
		}
		if err := resolvable(&obj, vars); err != nil {
			return nil, err
		}
		err = h.write(ctx, &obj, vars)
		if err == nil {
			return changed, nil
		}
		if !apierrors.IsConflict(err) {
			return nil, err
		}
	}
	return nil, refuse(http.StatusConflict, "somebody else keeps changing the Pack", "try again")
}
