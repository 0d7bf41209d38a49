package hooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack/token"
)

// allowAnnotation lists, separated by commas or blanks, the vars of a Pack that its webhook may set beside DOCKER_TAG.
const allowAnnotation = "k8s.kubit.ir/webhook-vars"

// The largest request and value, in bytes.
const (
	maxBody  = 64 << 10
	maxValue = 4 << 10
)

var (
	varName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	tagName    = regexp.MustCompile(`^DOCKER_TAG[\w.-]*$`)
	triggerVar = regexp.MustCompile(`^variables\[(.*)\]$`)
	idemKey    = regexp.MustCompile(`^[\x21-\x7e]{1,255}$`)
)

// keyHeaders are where an idempotency key stands: that of the IETF's draft, which GitLab sends too, and that of standard
// webhooks.
var keyHeaders = []string{"Idempotency-Key", "Webhook-Id"}

// readKey returns the idempotency key of a request, empty when it has none.
func readKey(header http.Header) (string, error) {
	for _, name := range keyHeaders {
		key := strings.Trim(header.Get(name), `" `)
		if key == "" {
			continue
		}
		if !idemKey.MatchString(key) {
			return "", refuse(http.StatusBadRequest, "the header "+name+" is not a key", "send 1 to 255 printable characters without blanks")
		}
		return key, nil
	}
	return "", nil
}

// posted is what a request holds.
type posted struct {
	token string
	vars  map[string]json.RawMessage
}

func (p *posted) names() []string { return slices.Sorted(maps.Keys(p.vars)) }

// readVars reads token and vars from the header and from a multipart, urlencoded or JSON body.
func readVars(w http.ResponseWriter, r *http.Request) (*posted, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p := &posted{vars: map[string]json.RawMessage{}}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var err error
	switch kind {
	case "application/json":
		err = p.readJSON(r)
	case "multipart/form-data", "application/x-www-form-urlencoded":
		err = p.readForm(r, kind)
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, fmt.Sprintf("a body of type %q is not understood", kind),
			"send a form, as curl -F DOCKER_TAG=TAG does, or JSON")
	}
	var large *http.MaxBytesError
	var refused *refusal
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d KiB", maxBody>>10), "send the vars only")
	case errors.As(err, &refused):
		return nil, refused
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body cannot be read", "send a form, as curl -F DOCKER_TAG=TAG does, or JSON")
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		p.token = strings.TrimSpace(bearer)
	}
	return p, nil
}

func (p *posted) readForm(r *http.Request, kind string) error {
	err := r.ParseForm()
	if kind == "multipart/form-data" {
		err = r.ParseMultipartForm(maxBody)
	}
	if err != nil {
		return err
	}
	if r.MultipartForm != nil && len(r.MultipartForm.File) > 0 {
		return refuse(http.StatusBadRequest, "the form holds a file", "send NAME=VALUE, without @")
	}
	for field, values := range r.PostForm {
		if len(values) != 1 {
			return refuse(http.StatusBadRequest, fmt.Sprintf("field %q is given %d times", field, len(values)), "give it once")
		}
		if field == "token" {
			p.token = values[0]
			continue
		}
		if m := triggerVar.FindStringSubmatch(field); m != nil {
			field = m[1]
		}
		text, err := json.Marshal(values[0])
		if err != nil {
			return err
		}
		p.vars[field] = text
	}
	return nil
}

func (p *posted) readJSON(r *http.Request) error {
	var fields map[string]json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&fields); err != nil {
		return err
	}
	if text, ok := fields["token"]; ok {
		if err := json.Unmarshal(text, &p.token); err != nil {
			return err
		}
		delete(fields, "token")
	}
	if nested, ok := fields["variables"]; ok {
		if err := json.Unmarshal(nested, &p.vars); err != nil {
			return err
		}
		delete(fields, "variables")
	}
	if p.vars == nil {
		p.vars = map[string]json.RawMessage{}
	}
	maps.Copy(p.vars, fields)
	return nil
}

// check says whether the webhook of the Pack may set these vars to these values.
func (p *posted) check(obj *packv1.Pack, holder *token.Token) error {
	if len(p.vars) == 0 {
		return refuse(http.StatusBadRequest, "the request holds no var", "send DOCKER_TAG=TAG")
	}
	allowed := strings.FieldsFunc(obj.Annotations[allowAnnotation], func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
	for _, name := range p.names() {
		if !varName.MatchString(name) {
			return refuse(http.StatusBadRequest, fmt.Sprintf("%q is not a name of a var", name), "use letters, digits, '_', '.' and '-'")
		}
		if !tagName.MatchString(name) && !slices.Contains(allowed, name) {
			return refuse(http.StatusForbidden, fmt.Sprintf("the webhook may not set the var %s", name),
				fmt.Sprintf("use a name that begins with DOCKER_TAG, or list it in the Pack's annotation %s", allowAnnotation))
		}
		if len(holder.Vars) > 0 && !slices.Contains(holder.Vars, name) {
			return refuse(http.StatusForbidden, fmt.Sprintf("the token %s may not set the var %s", holder.Name, name),
				"use another token, or one made with 'peyk pack token --vars'")
		}
		if err := checkValue(name, p.vars[name]); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(name string, raw json.RawMessage) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return refuse(http.StatusBadRequest, fmt.Sprintf("the value of %s is not JSON", name), "send a string")
	}
	switch value := value.(type) {
	case map[string]any, []any, nil:
		return refuse(http.StatusBadRequest, fmt.Sprintf("the value of %s is not a scalar", name), "send a string, a number, true or false")
	case string:
		switch {
		case value == "" && tagName.MatchString(name):
			return refuse(http.StatusBadRequest, name+" is empty", "check that the CI variable that it is made of is set")
		case len(value) > maxValue:
			return refuse(http.StatusBadRequest, fmt.Sprintf("the value of %s is longer than %d bytes", name, maxValue), "send a shorter one")
		case strings.ContainsFunc(value, unicode.IsControl):
			return refuse(http.StatusBadRequest, fmt.Sprintf("the value of %s holds a line break or another control character", name), "remove it")
		case strings.Contains(value, "{{"):
			return refuse(http.StatusBadRequest, fmt.Sprintf("the value of %s refers to another var", name), "send the text itself")
		}
	}
	return nil
}
