package writeback

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The trailers of a commit that this package made.
const (
	requestTrailer = "Delivery-Request"
	keyTrailer     = "Idempotency-Key-Hash"
	pathTrailer    = "Delivery-Path"
)

// hashKey is how a key is written in a commit: who reads the log cannot repeat a request.
func hashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// message is the commit's message with its trailers.
func message(c Change, key, mark string) string {
	var text strings.Builder
	text.WriteString(clean(c.Message, "Update "+c.Path))
	if mark != "" {
		text.WriteString("\n\n" + mark)
	}
	trailers := c.Trailers
	if c.Request != "" {
		trailers = append(trailers[:len(trailers):len(trailers)], Trailer{requestTrailer, c.Request})
	}
	if c.IdempotencyKey != "" {
		trailers = append(trailers[:len(trailers):len(trailers)], Trailer{pathTrailer, c.Path}, Trailer{keyTrailer, key})
	}
	for i, t := range trailers {
		if i == 0 {
			text.WriteString("\n")
		}
		text.WriteString("\n" + t.Name + ": " + strings.Join(strings.Fields(t.Value), " "))
	}
	return text.String() + "\n"
}

// clean takes out of a message what a commit cannot hold.
func clean(message, otherwise string) string {
	message = strings.ToValidUTF8(strings.ReplaceAll(strings.ReplaceAll(message, "\x00", ""), "\r\n", "\n"), "")
	if message = strings.TrimSpace(message); message == "" {
		return otherwise
	}
	return message
}

// keyOf reads the key, and the file, out of the last paragraph of a message: what is above it may be anybody's words.
func keyOf(message string) (key, path string) {
	message = strings.TrimSpace(message)
	last := message[strings.LastIndex(message, "\n\n")+1:]
	for line := range strings.Lines(last) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case keyTrailer:
			key = value
		case pathTrailer:
			path = value
		}
	}
	return key, path
}

// keys remembers the last so many results by the hash of their key.
type keys struct {
	most  int
	known map[string]Result
	order []string
}

func newKeys(most int) *keys { return &keys{most: most, known: map[string]Result{}} }

func (k *keys) get(key string) (Result, bool) {
	r, ok := k.known[key]
	return r, ok
}

func (k *keys) add(key string, r Result) {
	if _, ok := k.known[key]; ok {
		return
	}
	r.Repeated = false
	k.known[key] = r
	if k.order = append(k.order, key); len(k.order) > k.most {
		delete(k.known, k.order[0])
		k.order = k.order[1:]
	}
}
