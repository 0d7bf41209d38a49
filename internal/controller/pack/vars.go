package pack

import (
	"context"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// resolveVars resolves the vars, and with them the fields of spec.chart.
func (p *pass) resolveVars(context.Context) error {
	var err error
	if p.vars, err = pack.ResolveVars(p.obj.Spec.Vars); err != nil {
		return p.invalid(err)
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
			return p.invalid(err)
		}
	}
	return nil
}
