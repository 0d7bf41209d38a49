package kustomization

import (
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	fluxkustomize "github.com/fluxcd/pkg/apis/kustomize"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/reconcile"
)

// ignoreFields lets go of the fields that spec.ignore gives to others: once another field manager has applied a field,
// the object is applied without it; before that, the field stays as it is in the cluster. A new object is created whole.
func (p *pass) ignoreFields(ctx context.Context, obj *unstructured.Unstructured) error {
	var paths []string
	for i, rule := range p.obj.Spec.Ignore {
		match, err := selects(rule.Target, obj)
		if err != nil {
			return reconcile.Stallf(reasonInvalid, "spec.ignore[%d].target: %w", i, err)
		}
		if match {
			paths = append(paths, rule.Paths...)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	live, err := p.client.Get(ctx, obj.GroupVersionKind(), obj.GetNamespace(), obj.GetName())
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return reconcile.Failf(meta.ReconciliationFailedReason, "reading %s for spec.ignore: %w", apply.IDOf(obj), err)
	}
	for _, pointer := range paths {
		fields, err := parsePointer(pointer)
		if err != nil {
			return reconcile.Stallf(reasonInvalid, "spec.ignore: %w", err)
		}
		letGo(obj, live, fields)
	}
	return nil
}

func letGo(obj, live *unstructured.Unstructured, fields []string) {
	value, found, err := unstructured.NestedFieldCopy(live.Object, fields...)
	if err != nil {
		return
	}
	if apply.OwnedByOther(live, apply.Kustomizations.Manager, fields) || !found {
		unstructured.RemoveNestedField(obj.Object, fields...)
		return
	}
	if _, wanted, _ := unstructured.NestedFieldNoCopy(obj.Object, fields...); wanted {
		_ = unstructured.SetNestedField(obj.Object, value, fields...)
	}
}

// parsePointer reads a JSON pointer (RFC 6901) to a field of an object.
func parsePointer(pointer string) ([]string, error) {
	if !strings.HasPrefix(pointer, "/") || pointer == "/" {
		return nil, fmt.Errorf("path %q is not a JSON pointer such as /spec/replicas", pointer)
	}
	fields := strings.Split(pointer[1:], "/")
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(strings.ReplaceAll(f, "~1", "/"), "~0", "~")
	}
	return fields, nil
}

// selects says whether a selector picks obj. A nil selector picks everything; an empty field of it too.
func selects(s *fluxkustomize.Selector, obj *unstructured.Unstructured) (bool, error) {
	if s == nil {
		return true, nil
	}
	gvk := obj.GroupVersionKind()
	for _, pair := range [][2]string{
		{s.Group, gvk.Group}, {s.Version, gvk.Version}, {s.Kind, gvk.Kind},
		{s.Name, obj.GetName()}, {s.Namespace, obj.GetNamespace()},
	} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false, nil
		}
	}
	byLabel, err := labels.Parse(s.LabelSelector)
	if err != nil {
		return false, fmt.Errorf("labelSelector: %w", err)
	}
	byAnnotation, err := labels.Parse(s.AnnotationSelector)
	if err != nil {
		return false, fmt.Errorf("annotationSelector: %w", err)
	}
	return byLabel.Matches(labels.Set(obj.GetLabels())) && byAnnotation.Matches(labels.Set(obj.GetAnnotations())), nil
}
