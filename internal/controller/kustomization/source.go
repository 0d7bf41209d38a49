package kustomization

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// reasonInvalid is the reason for a spec that cannot work.
const reasonInvalid = "InvalidSpec"

// validate refuses what the spec asks for and Peyk does not do, rather than doing something else.
func (p *pass) validate(context.Context) error {
	spec := p.obj.Spec
	unsupported := map[string]bool{
		"spec.decryption":       spec.Decryption != nil,
		"spec.kubeConfig":       spec.KubeConfig != nil,
		"spec.healthCheckExprs": len(spec.HealthCheckExprs) > 0,
	}
	for i, d := range spec.DependsOn {
		unsupported[fmt.Sprintf("spec.dependsOn[%d].readyExpr", i)] = d.ReadyExpr != ""
	}
	for field, is := range unsupported {
		if is {
			return reconcile.Stallf(reasonInvalid, "%s is not supported by this version of Peyk: remove it", field)
		}
	}
	if spec.SourceRef.Kind != sourcev1.GitRepositoryKind {
		return reconcile.Stallf(reasonInvalid, "spec.sourceRef.kind %s is not supported by this version of Peyk: use GitRepository", spec.SourceRef.Kind)
	}
	if spec.PostBuild != nil {
		for name := range spec.PostBuild.Substitute {
			if err := kustomize.CheckVariableName(name); err != nil {
				return reconcile.Stallf(reasonInvalid, "spec.postBuild.substitute: %w", err)
			}
		}
	}
	return nil
}

// findSource finds the artifact that the source has now.
func (p *pass) findSource(ctx context.Context) error {
	ref := sourceOf(p.obj)
	repository := &sourcev1.GitRepository{}
	err := p.reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, repository)
	if apierrors.IsNotFound(err) {
		return reconcile.Wait(meta.ArtifactFailedReason,
			fmt.Sprintf("%s not found: create it, or correct spec.sourceRef", ref), p.safetyNet())
	}
	if err != nil {
		return reconcile.Failf(meta.ArtifactFailedReason, "reading %s: %w", ref, err)
	}
	found, ok := p.artifacts.Get(ref)
	if !ok {
		return reconcile.Wait(meta.ArtifactFailedReason, fmt.Sprintf("%s has no artifact yet%s", ref, why(repository)), p.safetyNet())
	}
	p.source = found
	p.obj.Status.LastAttemptedRevision = found.Revision
	return nil
}

// why says what keeps a source from having an artifact.
func why(repository *sourcev1.GitRepository) string {
	for _, c := range repository.Status.Conditions {
		if c.Type == reconcile.Ready && c.Status == "False" {
			return ": " + c.Message
		}
	}
	return ""
}

func sourceOf(obj *ksv1.Kustomization) artifact.Ref {
	ref := obj.Spec.SourceRef
	if ref.Namespace == "" {
		ref.Namespace = obj.Namespace
	}
	return artifact.Ref{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
}

// checkDependencies waits until every dependency is ready, and has applied the same revision when it has the same source.
func (p *pass) checkDependencies(ctx context.Context) error {
	if err := p.checkCycle(ctx); err != nil {
		return err
	}
	for _, key := range dependenciesOf(p.obj) {
		dependency := &ksv1.Kustomization{}
		err := p.reader.Get(ctx, key, dependency)
		if apierrors.IsNotFound(err) {
			return p.notReady(fmt.Sprintf("dependency %s not found: create it, or correct spec.dependsOn", key))
		}
		if err != nil {
			return reconcile.Failf(meta.DependencyNotReadyReason, "reading dependency %s: %w", key, err)
		}
		if !reconcile.IsReady(dependency, dependency.Status.ObservedGeneration) {
			return p.notReady(fmt.Sprintf("dependency %s is not ready", key))
		}
		if sourceOf(dependency) == sourceOf(p.obj) && dependency.Status.LastAppliedRevision != p.source.Revision {
			return p.notReady(fmt.Sprintf("dependency %s has not applied revision %s yet", key, p.source.Revision))
		}
	}
	return nil
}

func (p *pass) notReady(message string) error {
	return reconcile.Wait(meta.DependencyNotReadyReason, message, p.safetyNet())
}

// checkCycle refuses a dependency of an object on itself, by whatever way.
func (p *pass) checkCycle(ctx context.Context) error {
	self := types.NamespacedName{Namespace: p.obj.Namespace, Name: p.obj.Name}
	seen := map[types.NamespacedName]bool{}
	var walk func(obj *ksv1.Kustomization, path []string) error
	walk = func(obj *ksv1.Kustomization, path []string) error {
		for _, key := range dependenciesOf(obj) {
			if key == self {
				return reconcile.Stall(reasonInvalid, errors.New("spec.dependsOn goes in a circle: "+strings.Join(append(path, key.String()), " > ")))
			}
			if seen[key] {
				continue
			}
			seen[key] = true
			next := &ksv1.Kustomization{}
			if p.reader.Get(ctx, key, next) != nil {
				continue
			}
			if err := walk(next, append(path, key.String())); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(p.obj, []string{self.String()})
}

func dependenciesOf(obj *ksv1.Kustomization) []types.NamespacedName {
	keys := make([]types.NamespacedName, 0, len(obj.Spec.DependsOn))
	for _, d := range obj.Spec.DependsOn {
		key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
		if key.Namespace == "" {
			key.Namespace = obj.Namespace
		}
		keys = append(keys, key)
	}
	return keys
}
