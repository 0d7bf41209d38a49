package apply

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// Hash identifies a state. The zero Hash is no state.
type Hash [16]byte

func hashBytes(b []byte) Hash {
	sum := sha256.Sum256(b)
	return Hash(sum[:16])
}

// buffers are reused: every event of a watch needs one.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// hashed returns the Hash of what write appends.
func hashed(write func([]byte) []byte) Hash {
	b := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(b)
	*b = write((*b)[:0])
	return hashBytes(*b)
}

// appendValue appends a decoded JSON value in one form only: maps by key, and 80 alike whether it was decoded as an
// integer or not.
func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, 'n')
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return strconv.AppendQuote(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	case []any:
		b = append(b, '[')
		for _, item := range v {
			b = append(appendValue(b, item), ',')
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for _, key := range sortedKeys(v) {
			b = append(strconv.AppendQuote(b, key), ':')
			b = append(appendValue(b, v[key]), ',')
		}
		return append(b, '}')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Appendf(b, "%#v", v)
		}
		return append(b, text...)
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
