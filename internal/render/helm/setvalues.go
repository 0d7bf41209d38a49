package helm

import (
	"maps"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/strvals"
)

// ReadValues reads values from YAML.
func ReadValues(text []byte) (map[string]any, error) {
	values, err := common.ReadValues(text)
	return values, err
}

// MergeValues returns a with b over it. Maps are merged, everything else is replaced.
func MergeValues(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range b {
		over, isMap := value.(map[string]any)
		under, wasMap := out[key].(map[string]any)
		if isMap && wasMap {
			out[key] = MergeValues(under, over)
			continue
		}
		out[key] = value
	}
	return out
}

// SetValue sets the value at a path, as helm's --set does: numbers, booleans and lists are recognised. A value in quotes is
// text.
func SetValue(values map[string]any, path, value string) error {
	for _, quote := range []string{"'", `"`} {
		if strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return strvals.ParseIntoString(path+"="+strings.Trim(value, `'"`), values)
		}
	}
	return strvals.ParseInto(path+"="+value, values)
}

// literal escapes what --set would take for syntax; the backslash is the first of all.
var literal = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)

// SetText sets the value at a path to the text as it is.
func SetText(values map[string]any, path, text string) error {
	return strvals.ParseIntoString(path+"="+literal.Replace(text), values)
}
