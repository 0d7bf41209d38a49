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

	"github.com/peyk/peyk/internal/decrypt"
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

	// BuildMetadata asks kustomize to say in annotations where objects come from.
	BuildMetadata []string

	// Variables are substituted in every object; see Substitute. Nil: no substitution.
	Variables map[string]string
	// Ignore says which files and directories below Path are left out. Nil: none.
	Ignore func(path string) bool
	// Opener opens what is encrypted. Nil: nothing is opened, and an encrypted Secret is an error.
	Opener *decrypt.Opener

	// Abandoned says that nobody waits for the build any more. It is asked now and then. Nil: somebody does.
	Abandoned func() bool

	keepOrigin bool // somebody asked for the annotation that names the file
}

// Result is what was built.
type Result struct {
	// Objects are in kustomize's order.
	Objects []Object
	// Reads is what the build looked at.
	Reads *Reads
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

// Build makes the objects that the request describes. Errors name the file, and the line where it is known, and hold
// nothing that was encrypted; ErrPathNotFound tells a wrong path.
func Build(r Request) (*Result, error) {
	result, err := build(r)
	if err != nil && r.Opener != nil {
		err = decrypt.Redact(err, r.Opener.Secrets())
	}
	return result, err
}

func build(r Request) (*Result, error) {
	tree, err := openTree(r.Root)
	if err != nil {
		return nil, err
	}
	defer tree.close()
	dir := path.Clean("/" + r.Path)
	if !tree.IsDir(dir) {
		return nil, fmt.Errorf("%w: %q is not a directory of the artifact%s", ErrPathNotFound, r.Path, tree.nearest(dir))
	}
	p, err := prepare(tree, dir, &r)
	if err != nil {
		return nil, err
	}
	s := &survey{tree: tree, opener: r.Opener, loads: map[string]int{}, opened: map[string]bool{}}
	if _, err := s.visit(dir); err != nil {
		return nil, err
	}
	objects, err := r.objects(tree, dir, p, s.schema)
	if err != nil {
		return nil, err
	}
	return &Result{Objects: objects, Reads: tree.reads}, nil
}

// objects builds the tree: without kustomize, or in parts, where that comes to the same.
func (r *Request) objects(tree *treeFS, dir string, p *prepared, schema bool) ([]Object, error) {
	if p.generated && r.changesNothing(tree, dir, p.Kustomization) {
		objects, err := r.plain(tree, dir, p.Kustomization)
		if !errors.Is(err, errNotPlain) {
			return objects, err
		}
	}
	if !schema {
		objects, err := r.divided(tree, dir, p, partSize)
		if !errors.Is(err, errWhole) {
			return objects, err
		}
	}
	return r.whole(tree, dir, schema)
}

// whole builds the tree as it is.
func (r *Request) whole(tree *treeFS, dir string, schema bool) ([]Object, error) {
	built, err := run(tree, dir, schema)
	if err != nil {
		return nil, tree.explain(err)
	}
	objects := make([]Object, 0, built.Size())
	for _, res := range built.Resources() {
		object, err := r.finish(res, originOf(res, dir))
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
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
	return customize(tree, dir)
}

// customize runs kustomize. The caller holds builds.
func customize(tree *treeFS, dir string) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustypes.LoadRestrictionsNone // the tree itself is the restriction
	options.PluginConfig = kustypes.DisabledPluginConfig()
	return krusty.MakeKustomizer(options).Run(tree, dir)
}

// extend adds what the request asks for to the kustomization k in dir.
func (r *Request) extend(tree *treeFS, dir string, k *kustypes.Kustomization) error {
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
	for i, component := range r.Components {
		if path.IsAbs(component) || isRemote(component) {
			return fmt.Errorf("spec.components[%d]: %q must be a path relative to spec.path", i, component)
		}
		if r.IgnoreMissingComponents && !tree.Exists(path.Join(dir, component)) {
			continue
		}
		k.Components = append(k.Components, component)
	}
	for _, option := range r.BuildMetadata {
		if !slices.Contains(k.BuildMetadata, option) {
			k.BuildMetadata = append(k.BuildMetadata, option)
		}
	}
	r.keepOrigin = slices.Contains(k.BuildMetadata, kustypes.OriginAnnotations)
	if !r.keepOrigin {
		k.BuildMetadata = append(k.BuildMetadata, kustypes.OriginAnnotations)
	}
	return nil
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

// finish turns what kustomize built of a file into an object, with variables and metadata.
func (r *Request) finish(res *resource.Resource, file string) (Object, error) {
	obj, err := r.object(res)
	if err == nil {
		err = checkIdentity(obj)
	}
	if err != nil {
		return Object{}, fmt.Errorf("%s: %w", nameOf(res, file), err)
	}
	if !r.keepOrigin {
		removeAnnotation(obj, originAnnotation)
	}
	setMetadata(obj, r.Labels, r.Annotations)
	return Object{obj, file}, nil
}

func (r *Request) object(res *resource.Resource) (*unstructured.Unstructured, error) {
	substituting := r.Variables != nil && mentionsVariable(res.YNode()) && substitutes(res.GetLabels(), res.GetAnnotations())
	content, err := contentOf(res.YNode())
	if err != nil && !substituting {
		return nil, err
	}
	if substituting {
		obj, err := r.substitute(content, res.AsYAML)
		if err != nil {
			return nil, err
		}
		return obj, r.checkSealed(obj)
	}
	obj := &unstructured.Unstructured{Object: content}
	return obj, r.checkSealed(obj)
}

// checkIdentity refuses what is no Kubernetes object, as substitution can make it.
func checkIdentity(obj *unstructured.Unstructured) error {
	if obj.GetAPIVersion() == "" || obj.GetKind() == "" || obj.GetName() == "" {
		return errors.New("not a Kubernetes object: apiVersion, kind or metadata.name is missing")
	}
	return nil
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
	var files []string
	for p := range t.reads.probes {
		if p.what == content {
			files = append(files, p.name)
		}
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
