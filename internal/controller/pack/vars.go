package pack

import (
	"context"
	"errors"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/vault"
)

// resolveVars resolves the vars, and with them the fields of spec.chart.
func (p *pass) resolveVars(ctx context.Context) error {
	if err := pack.ValidateName(p.key.Name); err != nil {
		return p.invalid(err)
	}
	levels, err := pack.ReadLevels(ctx, p.reader, p.key.Namespace)
	if err != nil {
		return p.failed(err)
	}
	p.vault = p.keyring.Opener(ctx, p.key.Namespace)
	levels.Open = p.vault.Text
	p.levels = levels
	if p.vars, err = levels.Resolve(p.obj.Spec.Vars); err != nil {
		return p.wrong(ctx, err)
	}
	chart := p.obj.Spec.Chart
	p.wanted = wanted{name: chart.Name}
	fields := []struct {
		path  string
		value *string
	}{{"spec.chart.name", &p.wanted.name}}
	if chart.Version != nil {
		p.wanted.version = *chart.Version
		fields = append(fields, struct {
			path  string
			value *string
		}{"spec.chart.version", &p.wanted.version})
	}
	if chart.Repository != nil {
		p.wanted.kind, p.wanted.repository = chart.Repository.Kind, chart.Repository.Name
		if p.wanted.kind == "" {
			p.wanted.kind = packv1.ClusterPackRepositoryKind
		}
		fields = append(fields, struct {
			path  string
			value *string
		}{"spec.chart.repository.name", &p.wanted.repository})
	}
	for _, field := range fields {
		if *field.value, err = p.vars.Expand(*field.value, field.path); err != nil {
			return p.wrong(ctx, err)
		}
	}
	return nil
}

// wrong says everything that is wrong with vars and values, of which err is what was found first.
func (p *pass) wrong(ctx context.Context, err error) error {
	if _, unread := errors.AsType[*vault.AccessError](err); unread {
		return p.failed(err)
	}
	if all := pack.Validate(ctx, p.obj, p.levels, nil); len(all) > 0 {
		err = pack.Sentence(all)
	}
	return p.invalid(err)
}
