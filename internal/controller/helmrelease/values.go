package helmrelease

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// composeValues merges what spec.valuesFrom refers to, in its order, and spec.values over it. What goes to a targetPath
// goes over what spec.values has there already.
func (p *pass) composeValues(ctx context.Context) error {
	of := p.valuesOf(ctx)
	if of == "" || of != p.memo.valuesOf {
		p.memo.valuesOf = ""
		values, err := p.mergeValues(ctx)
		if err != nil {
			return err
		}
		p.memo.values, p.memo.valuesOf = values, of
	}
	p.values = p.memo.values
	p.config = helm.ConfigDigest(p.values)
	return nil
}

// valuesOf names the versions of everything that the values come from; empty when that is not known.
func (p *pass) valuesOf(ctx context.Context) string {
	of := fmt.Sprintf("%s/%d", p.obj.UID, p.obj.Generation)
	for _, ref := range p.obj.Spec.ValuesFrom {
		if ref.Kind != "Secret" && ref.Kind != "ConfigMap" {
			return ""
		}
		found := metadata(ref.Kind)
		err := p.metadata.Get(ctx, types.NamespacedName{Namespace: p.obj.Namespace, Name: ref.Name}, found)
		if client.IgnoreNotFound(err) != nil {
			return ""
		}
		of += fmt.Sprintf(" %s/%s@%s", ref.Kind, ref.Name, found.ResourceVersion)
	}
	return of
}

func (p *pass) mergeValues(ctx context.Context) (map[string]any, error) {
	own := p.obj.GetValues()
	result := map[string]any{}
	read := map[string]map[string]string{}
	for i, ref := range p.obj.Spec.ValuesFrom {
		fail := func(err error) error {
			return reconcile.Failf(reasonValues, "spec.valuesFrom[%d]: could not resolve %s chart values reference '%s/%s' with key '%s': %w",
				i, ref.Kind, p.obj.Namespace, ref.Name, ref.GetValuesKey(), err)
		}
		text, err := p.readValues(ctx, ref, read)
		if errors.Is(err, errMissing) && ref.Optional {
			continue
		}
		if err != nil {
			return nil, fail(err)
		}
		if ref.TargetPath != "" {
			result = helm.MergeValues(result, own)
			set := helm.SetValue
			if ref.Literal {
				set = helm.SetText
			}
			if set(result, ref.TargetPath, text) != nil {
				return nil, fail(errors.New("the value cannot be set at targetPath: check its syntax, or set literal")) // the parser quotes the value
			}
			continue
		}
		values, err := helm.ReadValues([]byte(text))
		if err != nil {
			return nil, fail(errors.New("it is not a map of values in YAML: mend it, or say with targetPath where it goes")) // the parser quotes what it read
		}
		result = helm.MergeValues(result, values)
	}
	return helm.MergeValues(result, own), nil
}

var errMissing = errors.New("not found")

// readValues reads one key of a ConfigMap or Secret, each of them once.
func (p *pass) readValues(ctx context.Context, ref meta.ValuesReference, read map[string]map[string]string) (string, error) {
	id := ref.Kind + "/" + ref.Name
	data, ok := read[id]
	if !ok {
		var err error
		if data, err = p.readData(ctx, ref.Kind, ref.Name); err != nil {
			return "", err
		}
		read[id] = data
	}
	if data == nil {
		return "", fmt.Errorf("resource %w: create it, or set optional", errMissing)
	}
	text, ok := data[ref.GetValuesKey()]
	if !ok {
		return "", fmt.Errorf("key %w: add it, or set optional", errMissing)
	}
	return text, nil
}

// readData returns the data of a ConfigMap or Secret in the HelmRelease's own namespace, nil when there is none.
func (p *pass) readData(ctx context.Context, kind, name string) (map[string]string, error) {
	key := types.NamespacedName{Namespace: p.obj.Namespace, Name: name}
	data := map[string]string{}
	switch kind {
	case "ConfigMap":
		obj := &corev1.ConfigMap{}
		if err := p.direct.Get(ctx, key, obj); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		for k, v := range obj.Data {
			data[k] = v
		}
	case "Secret":
		obj := &corev1.Secret{}
		if err := p.direct.Get(ctx, key, obj); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		for k, v := range obj.Data {
			data[k] = string(v)
		}
	default:
		return nil, fmt.Errorf("kind %q is neither ConfigMap nor Secret", kind)
	}
	return data, nil
}

// connect finds out on whose behalf the release is worked on, and where.
func (p *pass) connect(ctx context.Context) error {
	var err error
	if p.cluster, err = p.clientOf(ctx, p.obj); err != nil {
		return reconcile.Fail(reasonRESTClient, err)
	}
	if p.releases, err = p.engineOf(p.obj, p.cluster); err != nil {
		return reconcile.Fail(reasonRESTClient, err)
	}
	return nil
}
