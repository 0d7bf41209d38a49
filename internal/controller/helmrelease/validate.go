package helmrelease

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/peyk/peyk/internal/reconcile"
)

const reasonInvalid = "InvalidSpec"

// validate finds mistakes that only a change of the spec can mend.
func (p *pass) validate(context.Context) error {
	if p.obj.HasChartRef() == p.obj.HasChartTemplate() {
		return reconcile.Stall(reasonInvalid, errors.New("spec: exactly one of chart and chartRef must be set"))
	}
	if ref := p.obj.Spec.KubeConfig; ref != nil && ref.SecretRef == nil {
		return reconcile.Stallf(reasonInvalid, "spec.kubeConfig.configMapRef: the identity providers of clouds are not supported: use spec.kubeConfig.secretRef")
	}
	if err := checkValues(p.obj.Spec.Values); err != nil {
		return reconcile.Stall(reasonInvalid, err)
	}
	var err error
	if p.ignored, err = compileIgnore(p.obj.GetDriftDetection().Ignore); err != nil {
		return reconcile.Stall(reasonInvalid, err)
	}
	if p.health, err = compileHealth(p.obj.Spec.HealthCheckExprs); err != nil {
		return reconcile.Stall(meta.InvalidCELExpressionReason, err)
	}
	return nil
}

// checkValues refuses values that are no map: they would be taken for none.
func checkValues(values *apiextensionsv1.JSON) error {
	if values == nil {
		return nil
	}
	is := "a number"
	switch text := bytes.TrimSpace(values.Raw); {
	case len(text) == 0 || text[0] == '{' || string(text) == "null":
		return nil
	case text[0] == '[':
		is = "a list"
	case text[0] == '"':
		is = "text"
	case text[0] == 't' || text[0] == 'f':
		is = "a boolean"
	}
	return fmt.Errorf("spec.values: must be a map, is %s", is)
}

// explained is what an error of Helm says, with what to do where it speaks of a namespace that the spec names.
func (p *pass) explained(err error) string {
	said := text(err)
	missing := func(namespace string) bool {
		return namespace != "" && strings.Contains(said, fmt.Sprintf("namespaces %q not found", namespace))
	}
	switch spec := p.obj.Spec; {
	case missing(spec.StorageNamespace):
		return said + "; create it, or change spec.storageNamespace"
	case missing(spec.TargetNamespace):
		return said + "; create it, or set spec.install.createNamespace"
	}
	return said
}
