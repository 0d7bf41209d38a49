package kustomization

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

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

func letGo(obj, live *unstructured.Unstructured, path []string) {
	theirs, found := valueAt(live.Object, path)
	if !found || apply.OwnedByOther(live, apply.Kustomizations.Manager, path) {
		theirs = nil
	}
	replaceAt(obj.Object, path, runtime.DeepCopyJSONValue(theirs))
}

func valueAt(value any, path []string) (found any, ok bool) {
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			if value, ok = v[step]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// replaceAt returns value with another value at path, or with nothing there when that is nil. What is not there stays so.
func replaceAt(value any, path []string, by any) any {
	step, rest := path[0], path[1:]
	switch v := value.(type) {
	case map[string]any:
		child, ok := v[step]
		switch {
		case !ok:
		case len(rest) > 0:
			v[step] = replaceAt(child, rest, by)
		case by == nil:
			delete(v, step)
		default:
			v[step] = by
		}
	case []any:
		i, err := strconv.Atoi(step)
		switch {
		case err != nil || i < 0 || i >= len(v):
		case len(rest) > 0:
			v[i] = replaceAt(v[i], rest, by)
		case by == nil:
			return slices.Delete(v, i, i+1)
		default:
			v[i] = by
		}
	}
	return value
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

// selects says whether a selector picks obj. A nil selector picks everything; an empty field of it too. What it says of
// names and kinds is a pattern that has to fit whole, as in the targets of patches.
func selects(s *fluxkustomize.Selector, obj *unstructured.Unstructured) (bool, error) {
	if s == nil {
		return true, nil
	}
	gvk, all := obj.GroupVersionKind(), true
	for _, f := range []struct{ name, pattern, text string }{
		{"group", s.Group, gvk.Group}, {"version", s.Version, gvk.Version}, {"kind", s.Kind, gvk.Kind},
		{"name", s.Name, obj.GetName()}, {"namespace", s.Namespace, obj.GetNamespace()},
	} {
		if f.pattern == "" {
			continue
		}
		fits, err := regexp.MatchString("^(?:"+f.pattern+")$", f.text)
		if err != nil {
			return false, fmt.Errorf("%s: %w", f.name, err)
		}
		all = all && fits
	}
	byLabel, err := labels.Parse(s.LabelSelector)
	if err != nil {
		return false, fmt.Errorf("labelSelector: %w", err)
	}
	byAnnotation, err := labels.Parse(s.AnnotationSelector)
	if err != nil {
		return false, fmt.Errorf("annotationSelector: %w", err)
	}
	return all && byLabel.Matches(labels.Set(obj.GetLabels())) && byAnnotation.Matches(labels.Set(obj.GetAnnotations())), nil
}
