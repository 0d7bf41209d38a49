package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// registryAnnotation says what becomes of a tag that cannot be looked for, because the registry does not answer or does
// not let Peyk in: "warn" accepts it, "require" refuses it, "off" does not ask registries at all. Default: warn.
const registryAnnotation = "k8s.kubit.ir/webhook-registry"

// The values of registryAnnotation.
const (
	registryWarn    = "warn"
	registryRequire = "require"
	registryOff     = "off"
)

// Use is an image that a Pack's workload runs.
type Use struct {
	// Reference as the workload has it, such as registry.example.org/web:1.
	Reference string
	// PullSecrets and ServiceAccount of the workload have the credentials.
	PullSecrets    []string
	ServiceAccount string
}

// Releases renders Packs.
type Releases interface {
	// Images returns what the workloads of the Pack would run. An InvalidError says that the Pack itself is wrong.
	Images(ctx context.Context, obj *packv1.Pack) ([]Use, error)
}

// InvalidError says that a Pack cannot be applied as it is. It holds no secret.
type InvalidError struct{ Err error }

// Error returns what is wrong.
func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *InvalidError) Unwrap() error { return e.Err }

// Tags asks registries for tags.
type Tags interface {
	// Digest returns the digest that the tag leads to. An AbsentError says that the registry does not have it.
	Digest(ctx context.Context, namespace string, use Use) (string, error)
}

// AbsentError says that a registry answered, and does not have the tag.
type AbsentError struct{ Err error }

// Error returns what the registry said.
func (e *AbsentError) Error() string { return e.Err.Error() }

// Image is an image that a call brings.
type Image struct {
	Image string `json:"image"`
	// Digest that the tag leads to at the time of the call; empty when that is not known.
	Digest string `json:"digest,omitempty"`
}

// tagTimeout is how long a registry may take. quiet is how long one that did not answer is not asked again.
const (
	tagTimeout = 8 * time.Second
	quiet      = 30 * time.Second
)

// images finds out which images a change brings, and whether registries have them.
type images struct {
	rendering
	tags Tags
	now  func() time.Time

	mu     sync.Mutex
	silent map[string]silence
}

type silence struct {
	until time.Time
	err   error
}

func newImages(releases Releases, tags Tags, now func() time.Time) *images {
	return &images{rendering: newRendering(releases, now), tags: tags, now: now, silent: map[string]silence{}}
}

// with returns the Pack with vars set.
func with(obj *packv1.Pack, vars map[string]json.RawMessage) *packv1.Pack {
	changed := obj.DeepCopy()
	if changed.Spec.Vars == nil {
		changed.Spec.Vars = map[string]apiextensionsv1.JSON{}
	}
	for name, value := range vars {
		changed.Spec.Vars[name] = apiextensionsv1.JSON{Raw: value}
	}
	return changed
}

// examine finds out what a change would bring, and refuses what cannot work.
func (h *PackVars) examine(ctx context.Context, obj *packv1.Pack, c *call) (*finding, error) {
	f := &finding{warnings: moving(c)}
	if err := h.resolvable(ctx, obj, c, f); err != nil {
		return nil, err
	}
	if h.Releases == nil || len(differing(obj, c.vars)) == 0 {
		return f, nil
	}
	brought, err := h.images.brought(ctx, obj, c)
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		return nil, refuse(http.StatusUnprocessableEntity, fmt.Sprintf("the Pack would be invalid: %v", invalid), "correct the Pack, or the value, first")
	}
	if err != nil {
		f.warnings = append(f.warnings, fmt.Sprintf("the change could not be tried beforehand: %v", err))
		return f, nil
	}
	for _, use := range brought {
		found, warning, err := h.images.check(ctx, obj.Namespace, use, obj.Annotations[registryAnnotation])
		if err != nil {
			return nil, err
		}
		f.images = append(f.images, found)
		if warning != "" {
			f.warnings = append(f.warnings, warning)
		}
	}
	return f, nil
}

// moving warns of tags that lead to something else tomorrow.
func moving(c *call) []string {
	var warnings []string
	for _, name := range c.names() {
		if tagName.MatchString(name) && string(c.vars[name]) == `"latest"` {
			warnings = append(warnings, name+"=latest: the tag moves, so nobody can tell what runs or go back to it; use one of the commit")
		}
	}
	return warnings
}

// resolvable refuses vars that would leave the Pack with vars that cannot be resolved, and warns of those that a Config
// overrides.
func (h *PackVars) resolvable(ctx context.Context, obj *packv1.Pack, c *call, f *finding) error {
	levels, err := pack.ReadLevels(ctx, h.Client, obj.Namespace)
	if err != nil {
		return err
	}
	// Encrypted text resolves like any other here: nothing is shown of it.
	levels.Open = func(text string) (string, error) { return text, nil }
	if _, err := levels.Resolve(with(obj, c.vars).Spec.Vars); err != nil {
		return refuse(http.StatusUnprocessableEntity, fmt.Sprintf("the Pack would be invalid: %v", err), "correct spec.vars of the Pack first")
	}
	for _, shared := range slices.Concat(levels.Project, levels.Organisation) {
		for _, name := range slices.Sorted(maps.Keys(c.vars)) {
			if _, ok := shared.Vars[name]; ok {
				f.warnings = append(f.warnings, fmt.Sprintf("%s is set by %s too, which wins: the Pack's own value has no effect", name, shared.Name))
			}
		}
	}
	return nil
}

// check asks the registry for an image.
func (i *images) check(ctx context.Context, namespace string, use Use, policy string) (found Image, warning string, err error) {
	found.Image = use.Reference
	if _, digest, pinned := strings.Cut(use.Reference, "@"); pinned {
		found.Digest = digest
		return found, "", nil
	}
	if i.tags == nil || policy == registryOff {
		return found, "", nil
	}
	if found.Digest, err = i.ask(ctx, namespace, use); err == nil {
		return found, "", nil
	}
	if absent, ok := errors.AsType[*AbsentError](err); ok {
		return found, "", refuse(http.StatusUnprocessableEntity, fmt.Sprintf("the image %s is not in its registry: %v", use.Reference, absent),
			"push the image before it is deployed, or correct the tag")
	}
	if policy == registryRequire {
		return found, "", refuse(http.StatusBadGateway, fmt.Sprintf("whether the image %s exists cannot be told: %v", use.Reference, err),
			"try again when the registry answers, or give the Pack the annotation "+registryAnnotation+"="+registryWarn)
	}
	return found, fmt.Sprintf("whether the image %s exists cannot be told: %v", use.Reference, err), nil
}

// ask asks a registry, unless it did not answer a moment ago.
func (i *images) ask(ctx context.Context, namespace string, use Use) (string, error) {
	server, _, _ := strings.Cut(use.Reference, "/")
	server = namespace + " " + server // whether one is let in depends on the namespace
	i.mu.Lock()
	silent, ok := i.silent[server]
	i.mu.Unlock()
	if ok && i.now().Before(silent.until) {
		return "", silent.err
	}
	ctx, cancel := context.WithTimeout(ctx, tagTimeout)
	defer cancel()
	digest, err := i.tags.Digest(ctx, namespace, use)
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.silent, server)
	if _, absent := errors.AsType[*AbsentError](err); err != nil && !absent {
		i.silent[server] = silence{i.now().Add(quiet), err}
	}
	return digest, err
}
