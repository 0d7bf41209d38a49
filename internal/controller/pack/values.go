package pack

import (
	"context"
	"encoding/json"

	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/render/helm"
)

// resolveValues fills the vars into the values, and opens what is encrypted in them: from here on it is in memory and in
// the release, and nowhere else. Values that are not installed yet are held against the chart's schema.
func (p *pass) resolveValues(ctx context.Context) error {
	if p.still != "" {
		return nil
	}
	values := map[string]any{}
	if spec := p.obj.Spec.Values; spec != nil && len(spec.Raw) > 0 && string(spec.Raw) != "null" {
		if err := json.Unmarshal(spec.Raw, &values); err != nil {
			return p.invalidf("spec.values: must be a map of fields")
		}
	}
	closed, err := p.vars.ExpandValues(values)
	if err != nil {
		return p.wrong(ctx, err)
	}
	if p.values, err = p.vault.Values(closed, "spec.values"); err != nil {
		return p.invalid(err)
	}
	p.redact = pack.NewRedactor(p.vars, p.values, p.vault.Secrets()...)
	p.digest = helm.Digest(p.chart, p.values)
	if p.remembered(p.key).digest == p.digest {
		return nil
	}
	if err := helm.Check(p.chart, p.values); err != nil {
		return p.invalidf("%s", p.redact.Text(err.Error()))
	}
	return nil
}
