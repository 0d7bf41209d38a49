package hooks

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// answer is the body of a success.
type answer struct {
	Changed bool                       `json:"changed"`
	Pack    string                     `json:"pack"`
	Vars    map[string]json.RawMessage `json:"vars,omitempty"`
	// Commit that the change is, and where, when the Pack lives in Git.
	Commit     string `json:"commit,omitempty"`
	Repository string `json:"repository,omitempty"`
	Branch     string `json:"branch,omitempty"`
	Path       string `json:"path,omitempty"`
	// Images that change, with what their tags lead to now.
	Images   []Image  `json:"images,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	DryRun   bool     `json:"dryRun,omitempty"`
	// Diff is what would change, line by line, in a dry run.
	Diff []string `json:"diff,omitempty"`
	// Result of the rollout, when the call waits for it.
	Result  string `json:"result,omitempty"`
	Message string `json:"message,omitempty"`

	// replayed says that an earlier call with the same key gave the answer.
	replayed bool
}

func (a *answer) in(place *Place) {
	a.Repository, a.Branch, a.Path = place.Repository, place.Branch, place.Path
}

// replayedHeader marks an answer that an earlier call with the same key gave.
const replayedHeader = "Idempotent-Replayed"

func (a *answer) reply(w http.ResponseWriter, code int) {
	if a.replayed {
		w.Header().Set(replayedHeader, "true")
	}
	reply(w, code, a)
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// refusal is a failure with its status code and the way out.
type refusal struct {
	code  int
	Err   string `json:"error"`
	Mend  string `json:"mend"`
	after time.Duration
	cause error
}

// Error returns what is wrong.
func (r *refusal) Error() string { return r.Err }

// Unwrap returns what only the log gets to know.
func (r *refusal) Unwrap() error { return r.cause }

func refuse(code int, what, mend string) *refusal { return &refusal{code: code, Err: what, Mend: mend} }

func tooMany(what string, wait time.Duration) *refusal {
	r := refuse(http.StatusTooManyRequests, what, "try again after the seconds that the header Retry-After says")
	r.after = wait
	return r
}

var errToken = refuse(http.StatusUnauthorized, "the webhook does not exist, or the token is not one of its tokens",
	"send the header 'Authorization: Bearer TOKEN' or the form field token; 'peyk pack token' makes a new token")

// refusalOf returns the refusal that err is, or one that tells the caller nothing but that the call failed.
func refusalOf(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused
	}
	return &refusal{code: http.StatusInternalServerError, Err: "the change could not be written", Mend: "try again; Peyk's log has the reason", cause: err}
}

// isRefusal says whether err is about the call itself: nothing was changed, and the same call cannot go better.
func isRefusal(err error) bool {
	refused, ok := errors.AsType[*refusal](err)
	return ok && refused.code < http.StatusInternalServerError
}

// refuse answers a call that failed.
func (h *PackVars) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refused, _ := errors.AsType[*refusal](refusalOf(err))
	if refused.cause != nil {
		h.Log.ErrorContext(r.Context(), "deploy webhook failed", "uid", r.PathValue("uid"), "error", refused.cause.Error())
	}
	switch refused.code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	if refused.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((refused.after+time.Second-1)/time.Second)))
	}
	reply(w, refused.code, refused)
}
