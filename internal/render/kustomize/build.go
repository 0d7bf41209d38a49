package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/kustomize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/resid"
	"sigs.k8s.io/yaml"
)

// Request says what to build.
type Request struct {
	// Root is the directory of the artifact's tree. Nothing outside it is read.
	Root string
	// Path is the directory to build, relative to Root.
	Path string

	// What a Kustomization's spec adds to the kustomization in the source.
	Namespace               string
	NamePrefix, NameSuffix  string
	Patches                 []kustomize.Patch
	Images                  []kustomize.Image
	Components              []string
	IgnoreMissingComponents bool
	// Labels and Annotations are set on every object, over existing ones; selectors and templates are left alone.
	Labels, Annotations map[string]string

	// Variables are substituted in every object; see Substitute. Nil: no substitution.
	Variables map[string]string
}

// Object is an object that was built.
type Object struct {
	*unstructured.Unstructured
	// File that the object comes from, relative to the artifact's root. Empty when kustomize generated it.
	File string
}

// ErrPathNotFound says that the path to build is not in the artifact.
var ErrPathNotFound = errors.New("path not found")

// builds guards kustomize's process-wide OpenAPI schema: ordinary builds read it side by side, a build that brings a
// schema of its own has it for itself and puts it back.
var builds sync.RWMutex

// Build returns the objects that the request describes, in kustomize's order. Errors name the file, and the line where
// it is known; ErrPathNotFound tells a wrong path.
func Build(r Request) ([]Object, error) {
	tree, err := openTree(r.Root)
	if err != nil {
		return nil, err
	}
	defer tree.close()
	dir := path.Clean("/" + r.Path)
	if !tree.IsDir(dir) {
		return nil, fmt.Errorf("%w: %q is not a directory of the artifact%s", ErrPathNotFound, r.Path, tree.nearest(dir))
	}
	if err := prepare(tree, dir, r); err != nil {
		return nil, err
	}
	schema, err := inspect(tree, dir, map[string]bool{})
	if err != nil {
		return nil, err
	}
	built, err := run(tree, dir, schema)
	if err != nil {
		return nil, tree.explain(err)
	}
	return r.finish(built, dir)
}

func run(tree *treeFS, dir string, schema bool) (resmap.ResMap, error) {
	if schema {
		builds.Lock()
		defer builds.Unlock()
		defer openapi.ResetOpenAPI()
	} else {
		builds.RLock()
		defer builds.RUnlock()
	}
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustypes.LoadRestrictionsNone // the tree itself is the restriction
	options.PluginConfig = kustypes.DisabledPluginConfig()
	return krusty.MakeKustomizer(options).Run(tree, dir)
}

// extend adds what the request asks for to the kustomization k in dir.
func (r Request) extend(tree *treeFS, dir string, k *kustypes.Kustomization) {
	if r.Namespace != "" {
		k.Namespace = r.Namespace
	}
	k.NamePrefix = r.NamePrefix + k.NamePrefix
	k.NameSuffix += r.NameSuffix
	for _, p := range r.Patches {
		k.Patches = append(k.Patches, kustypes.Patch{Patch: p.Patch, Target: selector(p.Target)})
	}
	for _, image := range r.Images {
		k.Images = mergeImage(k.Images, image)
	}
	for _, component := range r.Components {
		if r.IgnoreMissingComponents && !tree.IsDir(path.Join(dir, component)) {
			continue
		}
		k.Components = append(k.Components, component)
	}
	if !slices.Contains(k.BuildMetadata, kustypes.OriginAnnotations) {
		k.BuildMetadata = append(k.BuildMetadata, kustypes.OriginAnnotations)
	}
}

func selector(s *kustomize.Selector) *kustypes.Selector {
	if s == nil {
		return nil
	}
	return &kustypes.Selector{
		ResId: resid.ResId{
			Gvk: resid.Gvk{Group: s.Group, Version: s.Version, Kind: s.Kind}, Name: s.Name, Namespace: s.Namespace,
		},
		LabelSelector: s.LabelSelector, AnnotationSelector: s.AnnotationSelector,
	}
}

// mergeImage sets the fields that image has; tag and digest replace each other.
func mergeImage(images []kustypes.Image, image kustomize.Image) []kustypes.Image {
	i := slices.IndexFunc(images, func(k kustypes.Image) bool { return k.Name == image.Name })
	if i < 0 {
		images = append(images, kustypes.Image{Name: image.Name})
		i = len(images) - 1
	}
	if image.NewName != "" {
		images[i].NewName = image.NewName
	}
	if image.NewTag != "" || image.Digest != "" {
		images[i].NewTag, images[i].Digest = image.NewTag, image.Digest
	}
	return images
}

// originAnnotation is where kustomize says which file an object comes from.
const originAnnotation = "config.kubernetes.io/origin"

// finish turns what kustomize built into objects, with variables and metadata.
func (r Request) finish(built resmap.ResMap, dir string) ([]Object, error) {
	objects := make([]Object, 0, built.Size())
	for _, res := range built.Resources() {
		file := originOf(res, dir)
		obj, err := r.object(res)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", nameOf(res, file), err)
		}
		removeAnnotation(obj, originAnnotation)
		setMetadata(obj, r.Labels, r.Annotations)
		objects = append(objects, Object{obj, file})
	}
	return objects, nil
}

func (r Request) object(res *resource.Resource) (*unstructured.Unstructured, error) {
	if r.Variables != nil && substitutes(res.GetLabels(), res.GetAnnotations()) {
		text, err := res.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("encoding: %w", err)
		}
		if strings.Contains(string(text), "${") {
			return Substitute(text, r.Variables)
		}
	}
	data, err := res.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	obj := &unstructured.Unstructured{}
	return obj, obj.UnmarshalJSON(data)
}

func originOf(res *resource.Resource, dir string) string {
	var origin struct {
		Path string `json:"path"`
	}
	if yaml.Unmarshal([]byte(res.GetAnnotations()[originAnnotation]), &origin) != nil || origin.Path == "" {
		return ""
	}
	return local(path.Join(dir, origin.Path))
}

func nameOf(res *resource.Resource, file string) string {
	if file == "" {
		return res.GetKind() + "/" + res.GetName()
	}
	return file + ": " + res.GetKind() + "/" + res.GetName()
}

func removeAnnotation(obj *unstructured.Unstructured, name string) {
	annotations := obj.GetAnnotations()
	delete(annotations, name)
	if len(annotations) == 0 {
		annotations = nil
	}
	obj.SetAnnotations(annotations)
}

func setMetadata(obj *unstructured.Unstructured, labels, annotations map[string]string) {
	if len(labels) > 0 {
		obj.SetLabels(merged(obj.GetLabels(), labels))
	}
	if len(annotations) > 0 {
		obj.SetAnnotations(merged(obj.GetAnnotations(), annotations))
	}
}

func merged(into, from map[string]string) map[string]string {
	if into == nil {
		into = map[string]string{}
	}
	for k, v := range from {
		into[k] = v
	}
	return into
}

// nearest tells what is at the deepest part of a wrong path that does exist.
func (t *treeFS) nearest(dir string) string {
	for dir != "/" {
		dir = path.Dir(dir)
		names, err := t.ReadDir(dir)
		if err != nil {
			continue
		}
		const most = 10
		if len(names) > most {
			names = append(names[:most], "...")
		}
		return fmt.Sprintf("; %s has: %s", local(dir), strings.Join(names, ", "))
	}
	return ""
}

// explain replaces kustomize's chain of errors by the mistake in the manifest that it read, if there is one.
func (t *treeFS) explain(err error) error {
	files := make([]string, 0, len(t.read))
	for name := range t.read {
		files = append(files, name)
	}
	slices.Sort(files)
	for _, name := range files {
		if !isManifest(name) || slices.Contains(kustomizationNames(), path.Base(name)) {
			continue
		}
		var syntax *yamlError
		if e := checkSyntax(t, name); errors.As(e, &syntax) {
			return e
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("building: a file that the kustomization names is missing: %w", err)
	}
	return fmt.Errorf("building: %w", err)
}

// isRemote says whether an entry of a kustomization is fetched over the network by kustomize.
func isRemote(entry string) bool {
	if strings.HasPrefix(entry, "git@") || strings.HasPrefix(entry, "github.com/") {
		return true
	}
	u, err := url.Parse(entry)
	return strings.Contains(entry, "::") || (err == nil && u.Scheme != "" && u.Host != "")
}
