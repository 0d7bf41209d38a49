package helm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"helm.sh/helm/v4/pkg/action"
	helmkube "helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/release/common"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Removal says what is to become of a release.
type Removal struct {
	Namespace, Name string
	Timeout         time.Duration
	// Volumes deletes the PersistentVolumeClaims too. Otherwise they stay.
	Volumes bool
	// NoHooks leaves out the chart's hooks, which cannot run in a namespace that is being deleted.
	NoHooks bool
}

// Uninstall removes a Pack's release, and what it was once nothing of it is left. It returns the objects that are still
// going, as Kind/name; call it again until there are none. A release that does not exist, or that Peyk did not make, is
// left alone.
func (e *Engine) Uninstall(ctx context.Context, r Removal) (remaining []string, err error) {
	c, err := e.begin(&task{namespace: r.Namespace})
	if err != nil {
		return nil, err
	}
	record, err := last(c, r.Name)
	if record == nil || err != nil {
		return nil, err
	}
	if record.Labels[holderLabel] == "" {
		return nil, nil
	}
	if record.Info.Status != common.StatusUninstalled {
		if err := protect(c, record); err != nil {
			return nil, err
		}
		if err := e.remove(c, r); err != nil {
			return nil, err
		}
	}
	if r.Volumes {
		if remaining, err = e.dropClaims(ctx, describe(record)); err != nil {
			return nil, err
		}
	}
	others, err := e.remaining(ctx, record.Manifest, r.Namespace, r.Name)
	if remaining = append(remaining, others...); err != nil || len(remaining) > 0 {
		return remaining, err
	}
	return nil, e.purge(c, r.Name)
}

// remove deletes the objects and keeps the record of what they were.
func (e *Engine) remove(c *action.Configuration, r Removal) error {
	listener := &listener{}
	c.SetLogger(listener)
	uninstall := action.NewUninstall(c)
	uninstall.KeepHistory = true
	uninstall.WaitStrategy, uninstall.Timeout, uninstall.DisableHooks = helmkube.HookOnlyStrategy, r.Timeout, r.NoHooks
	// A workload is gone only when its pods are.
	uninstall.DeletionPropagation = "foreground"
	if _, err := uninstall.Run(r.Name); err != nil {
		return fmt.Errorf("uninstalling: %w", errors.Join(err, listener.heard))
	}
	return nil
}

// purge removes the record of a release that is uninstalled, or finishes an uninstallation that was interrupted.
func (e *Engine) purge(c *action.Configuration, name string) error {
	uninstall := action.NewUninstall(c)
	uninstall.WaitStrategy = helmkube.HookOnlyStrategy
	uninstall.IgnoreNotFound = true
	if _, err := uninstall.Run(name); err != nil {
		return fmt.Errorf("removing the record of release %s: %w", name, err)
	}
	return nil
}

// remaining returns the objects of a manifest that are still there and still the release's.
func (e *Engine) remaining(ctx context.Context, manifest, namespace, release string) ([]string, error) {
	objects, err := split([]byte(manifest))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of release %s: %w", release, err)
	}
	var left []string
	for _, object := range objects {
		gvk := object.GroupVersionKind()
		namespaced, err := e.objects.Namespaced(gvk)
		if meta.IsNoMatchError(err) {
			continue // its definition is gone, and it with it
		}
		if err != nil {
			return nil, fmt.Errorf("looking up %s: %w", gvk.Kind, err)
		}
		in := ""
		if namespaced {
			in = object.GetNamespace()
			if in == "" {
				in = namespace
			}
		}
		live, err := e.objects.Get(ctx, gvk, in, object.GetName())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s %s: %w", gvk.Kind, object.GetName(), err)
		}
		annotations := live.GetAnnotations()
		if annotations[nameAnnotation] == release && annotations[namespaceAnnotation] == namespace && annotations[policyAnnotation] != "keep" {
			left = append(left, gvk.Kind+"/"+object.GetName())
		}
	}
	return left, nil
}

// listener catches the reason of a failure that Helm only logs.
type listener struct {
	heard error
	next  slog.Handler
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case error:
			l.heard = v
		case []error:
			l.heard = errors.Join(v...)
		}
		return true
	})
	if l.next != nil {
		return l.next.Handle(ctx, r)
	}
	return nil
}

func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *listener) WithGroup(string) slog.Handler      { return l }
