package hooks

import (
	"errors"
	"log/slog"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// maxEventNote is how much of an event Kubernetes takes, in bytes.
const maxEventNote = 1000

// audit writes down who asked for what, and what became of it: in the log, and as an event of the Pack. Values are written
// down of tags only: another var may hold a secret.
func (h *PackVars) audit(c *call, done *answer, err error) {
	attrs := []any{
		"pack", c.name(), "request", c.request, "token", c.holder.Name, "tokenID", c.holder.ID, "from", c.from,
		"vars", c.shown(), "dryRun", c.dryRun, "took", h.now().Sub(c.began).String(),
	}
	if c.key != "" {
		attrs = append(attrs, "key", hashKey(c.key))
	}
	if err != nil {
		refused, _ := errors.AsType[*refusal](refusalOf(err))
		h.Log.Warn("deploy webhook refused", append(attrs, "status", refused.code, "reason", refused.Err)...)
		h.record(c, corev1.EventTypeWarning, "DeployRefused", "asked to set "+c.shown()+", which was refused: "+refused.Err)
		return
	}
	attrs = append(attrs, "changed", done.Changed, "repeated", done.replayed)
	if done.Commit != "" {
		attrs = append(attrs, slog.String("commit", done.Commit))
	}
	h.Log.Info("deploy webhook called", attrs...)
	if !done.Changed || done.replayed || c.dryRun {
		return
	}
	note := "set " + c.shown()
	if done.Commit != "" {
		note += " with commit " + done.Commit
	}
	for _, image := range done.Images {
		note += "; " + image.Image
		if image.Digest != "" {
			note += " is " + image.Digest
		}
	}
	h.record(c, corev1.EventTypeNormal, "Deploy", note)
}

func (h *PackVars) record(c *call, kind, reason, note string) {
	if h.Events == nil {
		return
	}
	note = "the holder of the webhook token " + c.holder.Name + " " + note
	for len(note) > maxEventNote || !utf8.ValidString(note) {
		note = note[:min(maxEventNote, len(note)-1)]
	}
	h.Events.Eventf(c.pack, nil, kind, reason, "Deploy", "%s", note)
}

// shown are the vars as they may be read by everybody.
func (p *posted) shown() string {
	words := p.names()
	for i, name := range words {
		if tagName.MatchString(name) {
			words[i] = name + "=" + strings.Trim(string(p.vars[name]), `"`)
		}
	}
	return strings.Join(words, ", ")
}
