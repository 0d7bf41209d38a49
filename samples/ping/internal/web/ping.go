package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/peyk/peyk/samples/ping/internal/ping"
)

// pingBody is the answer of GET /ping.
type pingBody struct {
	Message string    `json:"message"`
	ID      int64     `json:"id"`
	MadeAt  time.Time `json:"made_at"`
	Cached  bool      `json:"cached"`
	Version string    `json:"version"`
}

func pingHandler(answerer Answerer, version string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := answerer.Answer(r.Context())
		if err != nil {
			w.Header().Set("Retry-After", "1")
			writeError(w, r, http.StatusServiceUnavailable, explain(err))
			return
		}
		writeJSON(w, http.StatusOK, pingBody{
			Message: ping.Message,
			ID:      answer.ID,
			MadeAt:  answer.MadeAt,
			Cached:  answer.Cached,
			Version: version,
		})
	}
}

// explain keeps the details for the log: a client cannot use addresses and driver messages.
func explain(err error) string {
	if errors.Is(err, ping.ErrNotMigrated) {
		return "the service is starting and has not reached its database yet; try again shortly"
	}
	return "no answer is cached and the database did not take a new one; try again shortly"
}
