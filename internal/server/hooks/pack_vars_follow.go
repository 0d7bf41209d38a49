package hooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// heartbeat is how often a stream says something, so that nobody between takes it for dead.
const heartbeat = 15 * time.Second

// resultTrailer tells how the rollout ended to who reads trailers.
const resultTrailer = "Peyk-Result"

// statuses are the codes of an answer that was held back until the rollout ended.
var statuses = map[string]int{
	resultReady: http.StatusOK, resultFailed: http.StatusUnprocessableEntity,
	resultTimeout: http.StatusGatewayTimeout, resultSuperseded: http.StatusConflict,
}

// following is a call that waits for what came of it.
type following struct {
	*call
	done  *answer
	wakes <-chan struct{}
}

// follow answers when the rollout has ended, and tells of it meanwhile when that is wanted. A caller who hangs up does not
// stop it.
func (h *PackVars) follow(w http.ResponseWriter, r *http.Request, c *following) {
	control := http.NewResponseController(w)
	// The limits of the server are for calls that are answered at once.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(c.timeout + time.Minute))
	told := newTeller(w, control, c.stream)
	defer told.close()
	told.begin(c.done)
	change := &rollout{rollouts: h.rollouts, key: c.packKey(), vars: c.vars, now: h.now}
	end, err := change.wait(r.Context(), c.wakes, c.timeout, told.tell)
	if r.Context().Err() != nil {
		return
	}
	if err != nil {
		h.Log.ErrorContext(r.Context(), "following a rollout", "pack", c.name(), "error", err.Error())
		end = progress{resultFailed, "the rollout cannot be followed; Peyk's log has the reason"}
	}
	h.Log.Info("deploy webhook waited", "pack", c.name(), "token", c.holder.Name, "result", end.Step, "message", end.Message)
	told.end(c.done, end)
}

// teller tells of a rollout in one of the three forms.
type teller struct {
	w       http.ResponseWriter
	control *http.ResponseController
	form    stream

	mu   sync.Mutex
	stop chan struct{}
	gone sync.WaitGroup
}

func newTeller(w http.ResponseWriter, control *http.ResponseController, form stream) *teller {
	return &teller{w: w, control: control, form: form, stop: make(chan struct{})}
}

// begin sends the head of a stream, and what is known.
func (t *teller) begin(done *answer) {
	if t.form == streamNone {
		return
	}
	header := t.w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	if t.form == streamSSE {
		header.Set("Content-Type", "text/event-stream")
	}
	header.Set("X-Accel-Buffering", "no") // nginx would keep the lines until the end
	header.Set("Trailer", resultTrailer)
	if done.replayed {
		header.Set(replayedHeader, "true")
	}
	t.w.WriteHeader(http.StatusOK)
	_ = t.send(stepAccepted, done, done.sentence())
	if done.Commit != "" {
		where := strings.TrimSpace(done.Commit + " " + done.Path)
		_ = t.send(stepCommit, map[string]string{"commit": done.Commit, "path": done.Path}, where)
	}
	t.gone.Go(t.beat)
}

// sentence says what was done, in one line.
func (a *answer) sentence() string {
	text := a.Pack + " is changed"
	if !a.Changed {
		text = a.Pack + " was so already"
	}
	for _, warning := range a.Warnings {
		text += "; warning: " + warning
	}
	return text
}

func (t *teller) tell(p progress) error {
	if t.form == streamNone {
		return nil
	}
	return t.send(p.Step, p, p.Message)
}

// end sends the result, as the last line, or as the whole answer.
func (t *teller) end(done *answer, p progress) {
	if t.form == streamNone {
		whole := *done
		whole.Result, whole.Message = p.Step, p.Message
		if code := statuses[p.Step]; code == http.StatusOK {
			whole.reply(t.w, code)
		} else {
			reply(t.w, code, failedRollout{whole, "the rollout ended as " + p.Step + ": " + p.Message, mends[p.Step]})
		}
		return
	}
	if p.Step != resultReady {
		_ = t.send("message", p, p.Message)
	}
	_ = t.send("result", map[string]string{"result": p.Step, "message": p.Message}, p.Step)
	t.w.Header().Set(resultTrailer, p.Step)
}

// failedRollout is the answer about a change that was made and did not become ready.
type failedRollout struct {
	answer
	Err  string `json:"error"`
	Mend string `json:"mend"`
}

var mends = map[string]string{
	resultFailed:     "the message says what to mend; deploy the former tag to go back",
	resultTimeout:    "the rollout goes on: call again with the same idempotency key to go on waiting",
	resultSuperseded: "nothing: a later call won",
}

// send sends one event or line.
func (t *teller) send(name string, data any, text string) error {
	line := fmt.Sprintf("%s: %s\n", name, strings.Join(strings.Fields(text), " "))
	if t.form == streamSSE {
		encoded, err := json.Marshal(data)
		if err != nil {
			return err
		}
		line = fmt.Sprintf("event: %s\ndata: %s\n\n", name, encoded)
	}
	return t.write(line)
}

func (t *teller) write(text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := io.WriteString(t.w, text); err != nil {
		return err
	}
	return t.control.Flush()
}

// beat keeps the connection alive.
func (t *teller) beat() {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	sign := "# still waiting\n"
	if t.form == streamSSE {
		sign = ": still waiting\n\n"
	}
	for {
		select {
		case <-t.stop:
			return
		case <-ticker.C:
			if t.write(sign) != nil {
				return
			}
		}
	}
}

func (t *teller) close() {
	close(t.stop)
	t.gone.Wait()
}
