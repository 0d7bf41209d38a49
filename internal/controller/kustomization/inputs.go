package kustomization

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// inputs are what a build depends on beside the artifact. The values, which may be secret, live for one pass; the rest is
// remembered, so that a pass needs no request when nothing changed.
type inputs struct {
	versions string // the generation, and the versions of the ConfigMaps and Secrets
	hash     string // of spec and values
	identity kube.Identity

	values *values // nil: not read in this pass
}

type values struct {
	vars    map[string]string
	secrets []string // that vars hold
	keys    *decrypt.Keys
}

// reference is a ConfigMap or Secret that a Kustomization names.
type reference struct {
	kind string
	types.NamespacedName
}

// String returns kind/namespace/name.
func (r reference) String() string { return r.kind + "/" + r.NamespacedName.String() }

// referencesOf returns every ConfigMap and Secret that obj reads. ageKeys is the Secret for those that decrypt and name none.
func referencesOf(obj *ksv1.Kustomization, ageKeys types.NamespacedName) []reference {
	var all []reference
	add := func(kind, name string) {
		all = append(all, reference{kind, types.NamespacedName{Namespace: obj.Namespace, Name: name}})
	}
	if obj.Spec.PostBuild != nil {
		for _, ref := range obj.Spec.PostBuild.SubstituteFrom {
			add(ref.Kind, ref.Name)
		}
	}
	if k := obj.Spec.KubeConfig; k != nil && k.SecretRef != nil {
		add("Secret", k.SecretRef.Name)
	}
	if d := obj.Spec.Decryption; d != nil {
		switch {
		case d.SecretRef != nil:
			add("Secret", d.SecretRef.Name)
		case ageKeys.Name != "":
			all = append(all, reference{"Secret", ageKeys})
		}
	}
	return all
}

// readInputs finds out what the build depends on. Nothing is read when neither the spec nor what it names changed.
func (p *pass) readInputs(ctx context.Context) error {
	versions, err := p.versions(ctx)
	if err != nil {
		return reconcile.Fail(meta.BuildFailedReason, err)
	}
	if known := p.remembered(p.obj).inputs; known.versions == versions {
		p.inputs = known
		return nil
	}
	return p.readValues(ctx, versions)
}

// versions names the generation of the spec, the annotation that counts, and the versions of what the spec names, as the
// cache has them. A cache that lags behind wakes the Kustomization when it does not any more.
func (p *pass) versions(ctx context.Context) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s/%d/%s", p.obj.UID, p.obj.Generation, p.obj.Annotations[decrypt.MACAnnotation])
	for _, ref := range referencesOf(p.obj, p.ageKeys) {
		known := &metav1.PartialObjectMetadata{}
		known.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(ref.kind))
		err := p.reader.Get(ctx, ref.NamespacedName, known)
		if err != nil && !apierrors.IsNotFound(err) {
			return "", fmt.Errorf("reading %s: %w", ref, err)
		}
		fmt.Fprintf(&text, " %s/%s", known.UID, known.ResourceVersion)
	}
	return text.String(), nil
}

func (p *pass) readValues(ctx context.Context, versions string) error {
	read := &values{}
	if err := p.collectVariables(ctx, read); err != nil {
		return err
	}
	keys, err := p.readKeys(ctx, read)
	if err != nil {
		return err
	}
	identity, err := p.readIdentity(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal([]any{p.obj.UID, p.obj.Generation, p.obj.Annotations[decrypt.MACAnnotation], read.vars, keys, identity.Kubeconfig.String()})
	if err != nil {
		return reconcile.Failf(meta.BuildFailedReason, "hashing the variables: %w", err)
	}
	sum := sha256.Sum256(text)
	p.inputs = inputs{versions: versions, hash: hex.EncodeToString(sum[:8]), identity: identity}
	p.remember(p.obj, func(m *memo) { m.inputs = p.inputs })
	p.inputs.values = read
	return nil
}

// collectVariables reads the variables of spec.postBuild, each ConfigMap and Secret once.
func (p *pass) collectVariables(ctx context.Context, into *values) error {
	post := p.obj.Spec.PostBuild
	if post == nil {
		return nil
	}
	vars := map[string]string{}
	for i, ref := range post.SubstituteFrom {
		data, err := p.readReference(ctx, ref)
		if err != nil {
			return reconcile.Failf(meta.BuildFailedReason, "spec.postBuild.substituteFrom[%d]: %w", i, err)
		}
		for name, value := range data {
			if err := kustomize.CheckVariableName(name); err != nil {
				return reconcile.Failf(meta.BuildFailedReason, "%s/%s: %w", ref.Kind, ref.Name, err)
			}
			vars[name] = strings.ReplaceAll(value, "\n", "")
			if ref.Kind == "Secret" {
				into.secrets = append(into.secrets, vars[name])
			}
		}
	}
	for name, value := range post.Substitute {
		vars[name] = strings.ReplaceAll(value, "\n", "")
	}
	if len(vars) > 0 || p.obj.GetSubstituteStrategy() == ksv1.SubstituteStrategyAlways {
		into.vars = vars
	}
	return nil
}

// readReference reads a ConfigMap or Secret of variables, as the Kustomization's own namespace has it.
func (p *pass) readReference(ctx context.Context, ref ksv1.SubstituteReference) (map[string]string, error) {
	key := types.NamespacedName{Namespace: p.obj.Namespace, Name: ref.Name}
	data := map[string]string{}
	var err error
	switch ref.Kind {
	case "ConfigMap":
		cm := &corev1.ConfigMap{}
		err = p.direct.Get(ctx, key, cm)
		data = cm.Data
	case "Secret":
		secret := &corev1.Secret{}
		err = p.direct.Get(ctx, key, secret)
		for name, value := range secret.Data {
			data[name] = string(value)
		}
	default:
		return nil, fmt.Errorf("kind %q is neither ConfigMap nor Secret", ref.Kind)
	}
	if apierrors.IsNotFound(err) {
		if ref.Optional {
			return nil, nil
		}
		return nil, fmt.Errorf("%s %s not found: create it, or set optional", ref.Kind, key)
	}
	return data, err
}

// readKeys reads the keys of spec.decryption, and returns what tells them from others.
func (p *pass) readKeys(ctx context.Context, into *values) (string, error) {
	d := p.obj.Spec.Decryption
	if d == nil {
		return "", nil
	}
	into.keys = &decrypt.Keys{}
	key, limit, field := p.ageKeys, decrypt.AgeOnly, "--sops-age-secret"
	if d.SecretRef != nil {
		key, limit, field = types.NamespacedName{Namespace: p.obj.Namespace, Name: d.SecretRef.Name}, decrypt.AllKeys, "spec.decryption.secretRef"
	}
	if key.Name == "" {
		return "", nil
	}
	secret := &corev1.Secret{}
	err := p.direct.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return "", reconcile.Failf(meta.BuildFailedReason, "%s: Secret %s not found: create it", field, key)
	}
	if err != nil {
		return "", reconcile.Failf(meta.BuildFailedReason, "%s: reading Secret %s: %w", field, key, err)
	}
	if into.keys, err = decrypt.ParseKeys(secret.Data, limit); err != nil {
		return "", reconcile.Failf(meta.BuildFailedReason, "%s: Secret %s: %w", field, key, err)
	}
	return string(secret.UID) + secret.ResourceVersion, nil
}
