// Package bootstrap puts Peyk and what it follows into a Git repository, so that the repository is the source of truth for
// Peyk as well, in the layout of Flux.
package bootstrap

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/install"
)

// Options say what is put where.
type Options struct {
	// Install is how Peyk itself is installed.
	Install install.Options
	// URL and Branch are what is followed, Path the folder of the cluster in it.
	URL, Branch, Path string
	// Namespace of the objects that follow the repository; it is their name too.
	Namespace string
	// SecretName of the credentials. Empty: everybody may read the repository.
	SecretName string
	// Interval is how often the repository is looked at.
	Interval time.Duration
	// RecurseSubmodules fetches submodules, and SparseCheckout only Path.
	RecurseSubmodules, SparseCheckout bool
	// Author and Message of the commits.
	Author  git.Signature
	Message string
}

// The files in the folder that is named after the namespace.
const (
	componentsFile    = "gotk-components.yaml"
	syncFile          = "gotk-sync.yaml"
	kustomizationFile = "kustomization.yaml"
)

// folder is where the files are, relative to the root of the repository.
func (o Options) folder() string {
	return path.Join(strings.TrimPrefix(path.Clean("/"+o.Path), "/"), o.Namespace)
}

// Components are the objects of Peyk's installation with the namespace of what follows the repository.
func (o Options) Components() ([]*unstructured.Unstructured, error) {
	objects, err := install.Objects(o.Install)
	if err != nil {
		return nil, err
	}
	if o.Namespace == o.Install.Namespace {
		return objects, nil
	}
	space, err := unstructuredOf(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.Namespace}}, corev1.SchemeGroupVersion.WithKind("Namespace").ToAPIVersionAndKind)
	if err != nil {
		return nil, err
	}
	return append([]*unstructured.Unstructured{space}, objects...), nil
}

// Sync are the GitRepository of the repository and the Kustomization of the folder.
func (o Options) Sync() ([]*unstructured.Unstructured, error) {
	source := &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Name: o.Namespace, Namespace: o.Namespace},
		Spec: sourcev1.GitRepositorySpec{
			Interval: metav1.Duration{Duration: o.Interval}, URL: o.URL, Reference: &sourcev1.GitRepositoryRef{Branch: o.Branch},
			RecurseSubmodules: o.RecurseSubmodules,
		},
	}
	if o.SecretName != "" {
		source.Spec.SecretRef = &meta.LocalObjectReference{Name: o.SecretName}
	}
	relative := "./" + strings.TrimPrefix(path.Clean("/"+o.Path), "/")
	if o.SparseCheckout {
		source.Spec.SparseCheckout = []string{relative}
	}
	applied := &ksv1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Name: o.Namespace, Namespace: o.Namespace},
		Spec: ksv1.KustomizationSpec{
			Interval: metav1.Duration{Duration: 10 * time.Minute}, Path: relative, Prune: true,
			SourceRef: ksv1.CrossNamespaceSourceReference{Kind: sourcev1.GitRepositoryKind, Name: o.Namespace},
		},
	}
	first, err := unstructuredOf(source, sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind).ToAPIVersionAndKind)
	if err != nil {
		return nil, err
	}
	second, err := unstructuredOf(applied, ksv1.GroupVersion.WithKind(ksv1.KustomizationKind).ToAPIVersionAndKind)
	return []*unstructured.Unstructured{first, second}, err
}

func unstructuredOf(object any, kind func() (string, string)) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("converting the objects: %w", err)
	}
	u := &unstructured.Unstructured{Object: content}
	version, name := kind()
	u.SetAPIVersion(version)
	u.SetKind(name)
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	if spec, ok := u.Object["spec"].(map[string]any); ok && len(spec) == 0 {
		delete(u.Object, "spec")
	}
	return u, nil
}

const header = "# This manifest was made by 'peyk bootstrap'. Do not edit it: the next bootstrap writes it anew.\n"

// files are what the folder holds.
func (o Options) files() (map[string][]byte, error) {
	components, err := o.Components()
	if err != nil {
		return nil, err
	}
	sync, err := o.Sync()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, objects := range map[string][]*unstructured.Unstructured{componentsFile: components, syncFile: sync} {
		text := bytes.NewBufferString(header)
		if err := install.Export(text, objects); err != nil {
			return nil, err
		}
		files[name] = text.Bytes()
	}
	files[kustomizationFile], err = yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": []string{componentsFile, syncFile},
	})
	return files, err
}

// Commit writes the files to the repository and pushes them. It returns the commit, which is empty when the repository
// is as it should be. A kustomization.yaml that is there already, with patches perhaps, is left alone.
func (o Options) Commit(ctx context.Context, credentials git.Credentials) (string, error) {
	files, err := o.files()
	if err != nil {
		return "", err
	}
	checkout, err := git.CheckOut(ctx, git.Remote{URL: o.URL, Credentials: credentials}, o.Branch)
	if err != nil {
		return "", err
	}
	defer func() { _ = checkout.Close() }()
	changed := false
	for name, content := range files {
		name := path.Join(o.folder(), name)
		if _, exists, err := checkout.Read(name); err != nil {
			return "", err
		} else if exists && path.Base(name) == kustomizationFile {
			continue
		}
		wrote, err := checkout.Write(name, content)
		if err != nil {
			return "", err
		}
		changed = changed || wrote
	}
	if !changed {
		return "", nil
	}
	return checkout.Push(ctx, o.Author, o.Message)
}
