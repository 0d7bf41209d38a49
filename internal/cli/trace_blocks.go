package cli

import (
	"context"
	"fmt"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// block is one part of a trace: names and values in two columns.
type block struct {
	width int
	text  strings.Builder
}

func newBlock(width int) *block { return &block{width: width} }

// row writes a name and its value; without a value it writes nothing.
func (b *block) row(name, value string) *block {
	if value != "" {
		fmt.Fprintf(&b.text, "%-*s%s\n", b.width, name+":", value)
	}
	return b
}

// always writes a name even when it has no value.
func (b *block) always(name, value string) *block {
	fmt.Fprintf(&b.text, "%-*s%s\n", b.width, name+":", value)
	return b
}

// status says how the last reconciliation went.
func (b *block) status(conditions []metav1.Condition, failures bool) string {
	c := apimeta.FindStatusCondition(conditions, meta.ReadyCondition)
	switch {
	case c == nil:
		return b.row("Status", "Unknown").text.String()
	case failures && c.Status == metav1.ConditionFalse:
		b.row("Status", fmt.Sprintf("Last reconciliation failed at %s", c.LastTransitionTime))
	default:
		b.row("Status", fmt.Sprintf("Last reconciled at %s", c.LastTransitionTime))
	}
	return b.always("Message", c.Message).text.String()
}

func objectBlock(width int, object *unstructured.Unstructured) string {
	return newBlock(width).row("Object", object.GetKind()+"/"+object.GetName()).row("Namespace", object.GetNamespace()).
		row("Status", "Managed by Flux").text.String()
}

func (t tracer) kustomization(ctx context.Context, key client.ObjectKey, object *unstructured.Unstructured) ([]string, error) {
	const width = 17
	k := &ksv1.Kustomization{}
	if err := t.client.Get(ctx, key, k); err != nil {
		return nil, fmt.Errorf("reading Kustomization %s: %w", key, err)
	}
	own := newBlock(width).row("Kustomization", k.Name).row("Namespace", k.Namespace).row("Target", k.Spec.TargetNamespace).
		always("Path", k.Spec.Path).always("Revision", k.Status.LastAppliedRevision).status(k.Status.Conditions, false)
	ref := k.Spec.SourceRef
	source, err := t.source(ctx, width, ref.Kind, withNamespace(ref.Namespace, ref.Name, k.Namespace))
	return append([]string{objectBlock(width, object), own}, source...), err
}

func withNamespace(namespace, name, own string) client.ObjectKey {
	if namespace == "" {
		namespace = own
	}
	return client.ObjectKey{Namespace: namespace, Name: name}
}

// source is the block of a source.
func (t tracer) source(ctx context.Context, width int, of string, key client.ObjectKey) ([]string, error) {
	failed := func(err error) error { return fmt.Errorf("reading %s %s: %w", of, key, err) }
	switch of {
	case sourcev1.GitRepositoryKind:
		r := &sourcev1.GitRepository{}
		if err := t.client.Get(ctx, key, r); err != nil {
			return nil, failed(err)
		}
		b := newBlock(width).row(of, r.Name).row("Namespace", r.Namespace).row("URL", r.Spec.URL)
		if ref := r.Spec.Reference; ref != nil {
			name, value := firstOf("Tag", ref.Tag, "Tag", ref.SemVer, "Branch", ref.Branch)
			b.row(name, value)
		}
		return []string{b.row("Revision", revisionOf(r.Status.Artifact)).status(r.Status.Conditions, true)}, nil
	case sourcev1.OCIRepositoryKind:
		r := &sourcev1.OCIRepository{}
		if err := t.client.Get(ctx, key, r); err != nil {
			return nil, failed(err)
		}
		b := newBlock(17).row(of, r.Name).row("Namespace", r.Namespace).row("URL", r.Spec.URL)
		if ref := r.Spec.Reference; ref != nil {
			name, value := firstOf("Tag", ref.Tag, "Tag", ref.SemVer, "Digest", ref.Digest)
			b.row(name, value)
		}
		return []string{b.row("Revision", revisionOf(r.Status.Artifact)).origin(r.Status.Artifact).status(r.Status.Conditions, true)}, nil
	case sourcev1.BucketKind:
		r := &sourcev1.Bucket{}
		if err := t.client.Get(ctx, key, r); err != nil {
			return nil, failed(err)
		}
		b := newBlock(17).row(of, r.Name).row("Namespace", r.Namespace).row("URL", r.Spec.Endpoint+"/"+r.Spec.BucketName)
		return []string{b.row("Revision", revisionOf(r.Status.Artifact)).status(r.Status.Conditions, true)}, nil
	case sourcev1.HelmRepositoryKind:
		r := &sourcev1.HelmRepository{}
		if err := t.client.Get(ctx, key, r); err != nil {
			return nil, failed(err)
		}
		b := newBlock(16).row(of, r.Name).row("Namespace", r.Namespace).row("URL", r.Spec.URL)
		return []string{b.row("Revision", revisionOf(r.Status.Artifact)).status(r.Status.Conditions, false)}, nil
	}
	return nil, nil
}

// origin says what an OCI artifact was made from.
func (b *block) origin(artifact *meta.Artifact) *block {
	if artifact == nil {
		return b
	}
	return b.row("Origin Revision", artifact.Metadata["org.opencontainers.image.revision"]).
		row("Origin Source", artifact.Metadata["org.opencontainers.image.source"])
}

// firstOf returns the first pair that has a value.
func firstOf(pairs ...string) (name, value string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			return pairs[i], pairs[i+1]
		}
	}
	return "", ""
}

func (t tracer) release(ctx context.Context, key client.ObjectKey, object *unstructured.Unstructured) ([]string, error) {
	const width = 16
	r := &helmv2.HelmRelease{}
	if err := t.client.Get(ctx, key, r); err != nil {
		return nil, fmt.Errorf("reading HelmRelease %s: %w", key, err)
	}
	blocks := []string{
		objectBlock(width, object),
		newBlock(width).row("HelmRelease", r.Name).row("Namespace", r.Namespace).row("Target", r.Spec.TargetNamespace).
			always("Revision", r.Status.LastAttemptedRevision).status(r.Status.Conditions, false),
	}
	if namespace, name, found := strings.Cut(r.Status.HelmChart, "/"); found {
		chart := &sourcev1.HelmChart{}
		if err := t.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, chart); err != nil {
			return nil, fmt.Errorf("reading HelmChart %s: %w", r.Status.HelmChart, err)
		}
		blocks = append(blocks, newBlock(width).row("HelmChart", chart.Name).row("Namespace", chart.Namespace).row("Chart", chart.Spec.Chart).
			always("Version", chart.Spec.Version).row("Revision", revisionOf(chart.Status.Artifact)).status(chart.Status.Conditions, false))
	}
	of, at := "", client.ObjectKey{}
	switch {
	case r.Spec.ChartRef != nil:
		of, at = r.Spec.ChartRef.Kind, withNamespace(r.Spec.ChartRef.Namespace, r.Spec.ChartRef.Name, r.Namespace)
	case r.Spec.Chart != nil:
		ref := r.Spec.Chart.Spec.SourceRef
		of, at = ref.Kind, withNamespace(ref.Namespace, ref.Name, r.Namespace)
	}
	source, err := t.source(ctx, width-1, of, at)
	return append(blocks, source...), err
}
