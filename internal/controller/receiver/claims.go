package receiver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"

	"github.com/peyk/peyk/internal/expression"
)

// Claims are the compiled rules of one entry of spec.oidcProviders.
type Claims struct {
	variables   []named
	validations []named
}

// named is an expression with its name, or with the message of its failure.
type named struct {
	name string
	*expression.Expression
}

// CompileClaims compiles the rules of the i-th OIDC provider. The error names the field.
func CompileClaims(i int, p notificationv1.OIDCProvider) (*Claims, error) {
	c := &Claims{}
	for j, v := range p.Variables {
		e, err := expression.Compile(v.Expression, expression.Any, "claims", "vars")
		if err != nil {
			return nil, fmt.Errorf("spec.oidcProviders[%d].variables[%d].expression: %w", i, j, err)
		}
		c.variables = append(c.variables, named{v.Name, e})
	}
	for j, v := range p.Validations {
		e, err := expression.Compile(v.Expression, expression.Bool, "claims", "vars")
		if err != nil {
			return nil, fmt.Errorf("spec.oidcProviders[%d].validations[%d].expression: %w", i, j, err)
		}
		c.validations = append(c.validations, named{v.Message, e})
	}
	return c, nil
}

// Check returns an error with the messages of the validations that the claims of a token fail.
func (c *Claims) Check(ctx context.Context, claims map[string]any) error {
	variables := map[string]any{}
	values := map[string]any{"claims": claims, "vars": variables}
	for _, v := range c.variables {
		value, err := v.Value(ctx, values)
		if err != nil {
			return fmt.Errorf("variable %s: %w", v.name, err)
		}
		variables[v.name] = value
	}
	var failed []string
	for _, v := range c.validations {
		ok, err := v.Bool(ctx, values)
		if err != nil {
			return fmt.Errorf("validation %q: %w", v.name, err)
		}
		if !ok {
			failed = append(failed, v.name)
		}
	}
	if len(failed) > 0 {
		return errors.New("the token is refused: " + strings.Join(failed, "; "))
	}
	return nil
}

// checkProviders refuses OIDC providers that let anybody in. The API server refuses most of them already.
func checkProviders(providers []notificationv1.OIDCProvider) error {
	if len(providers) == 0 {
		return invalid("spec.oidcProviders: is required for the type generic-oidc; name the issuer of the tokens")
	}
	seen := map[string]bool{}
	for i, p := range providers {
		field := fmt.Sprintf("spec.oidcProviders[%d]", i)
		u, err := url.Parse(p.IssuerURL)
		switch {
		case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
			return invalid("%s.issuerURL: %q is not a URL that starts with https:// or http://", field, p.IssuerURL)
		case seen[p.IssuerURL]:
			return invalid("%s.issuerURL: %s is there twice; put the validations into one entry", field, p.IssuerURL)
		case len(p.Validations) == 0:
			return invalid("%s.validations: is empty, so that everybody with a token of the issuer gets in; check a claim that says who it is", field)
		}
		seen[p.IssuerURL] = true
		for j, v := range p.Variables {
			if v.Name == "" || v.Expression == "" {
				return invalid("%s.variables[%d]: name and expression are required", field, j)
			}
		}
		for j, v := range p.Validations {
			if v.Message == "" || v.Expression == "" {
				return invalid("%s.validations[%d]: expression and message are required", field, j)
			}
		}
	}
	return nil
}
