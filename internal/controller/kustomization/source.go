package kustomization

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/expression"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// reasonInvalid is the reason for a spec that cannot work.
const reasonInvalid = "InvalidSpec"

// validate refuses what the spec asks for and Peyk does not do, rather than doing something else.
func (p *pass) validate(context.Context) error {
	spec := p.obj.Spec
	if k := spec.KubeConfig; k != nil && k.SecretRef == nil {
		return reconcile.Stallf(reasonInvalid, "spec.kubeConfig.configMapRef: the identity providers of clouds are not supported: use spec.kubeConfig.secretRef")
	}
	if d := spec.Decryption; d != nil {
		if d.Provider != "sops" {
			return reconcile.Stallf(reasonInvalid, "spec.decryption.provider: %s is not known: use sops", d.Provider)
		}
		if d.ServiceAccountName != "" {
			return reconcile.Stallf(meta.FeatureGateDisabledReason,
				"spec.decryption.serviceAccountName: the key services of clouds are not supported: remove it, and encrypt for an age or PGP key")
		}
	}
	if spec.PostBuild != nil {
		for name := range spec.PostBuild.Substitute {
			if err := kustomize.CheckVariableName(name); err != nil {
				return reconcile.Stallf(reasonInvalid, "spec.postBuild.substitute: %w", err)
			}
		}
	}
	return p.compileRules()
}

// compileRules makes the rules of spec.healthCheckExprs.
func (p *pass) compileRules() error {
	if len(p.obj.Spec.HealthCheckExprs) == 0 {
		return nil
	}
	type kind struct{ apiVersion, kind string }
	rules := map[kind]*expression.Health{}
	var text bytes.Buffer
	for i, e := range p.obj.Spec.HealthCheckExprs {
		compiled, err := expression.CompileHealth(e.Current, e.InProgress, e.Failed)
		if err != nil {
			return reconcile.Stallf(meta.InvalidCELExpressionReason, "spec.healthCheckExprs[%d].%w", i, err)
		}
		rules[kind{e.APIVersion, e.Kind}] = compiled
		fmt.Fprintf(&text, "%q", []string{e.APIVersion, e.Kind, e.Current, e.InProgress, e.Failed})
	}
	sum := sha256.Sum256(text.Bytes())
	p.rules = apply.Rules{Key: hex.EncodeToString(sum[:8]), Of: func(obj *unstructured.Unstructured) (apply.State, bool) {
		rule, ok := rules[kind{obj.GetAPIVersion(), obj.GetKind()}]
		if !ok {
			return apply.State{}, false
		}
		return judge(rule, obj), true
	}}
	return nil
}

func judge(rule *expression.Health, obj *unstructured.Unstructured) apply.State {
	state := apply.State{Health: apply.HealthInProgress, Version: obj.GetResourceVersion()}
	verdict, err := rule.Judge(context.Background(), obj.Object)
	switch {
	case err != nil:
		state.Health, state.Message = apply.HealthUnknown, err.Error()
	case verdict == expression.Current:
		state.Health = apply.HealthCurrent
	case verdict == expression.Failed:
		state.Health = apply.HealthFailed
	}
	return state
}

// findSource finds the artifact that the source has now.
func (p *pass) findSource(ctx context.Context) error {
	found, err := p.sources.Find(ctx, p.obj.Namespace, sourceOf(p.obj), "spec.sourceRef")
	if err != nil {
		return err
	}
	p.source = found
	if was := p.obj.Status.LastAttemptedRevision; was != found.Revision && reconcile.InProgress(p.obj) {
		ref := sourceOf(p.obj)
		reconcile.Note(ctx, meta.HealthCheckCanceledReason, "Health checks of %s canceled due to new reconciliation triggered by %s", was, ref)
	}
	p.obj.Status.LastAttemptedRevision = found.Revision
	return nil
}

func sourceOf(obj *ksv1.Kustomization) artifact.Ref {
	ref := obj.Spec.SourceRef
	if ref.Namespace == "" {
		ref.Namespace = obj.Namespace
	}
	return artifact.Ref{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
}
