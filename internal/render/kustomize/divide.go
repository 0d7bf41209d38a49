package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	kustypes "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// partSize is how many objects are built at a time. kustomize compares every object with every other: twice as many take
// four times as long, while a build of few has the cost of its beginning.
const partSize = 50

// errWhole says that a tree cannot be built in parts, or that it is not known whether it can.
var errWhole = errors.New("not divisible")

// division is a kustomization over manifests that is built in parts. What kustomize does to an object depends on others
// only where it refers to them by name, for names change: such others come along with a part, and are dropped afterwards.
type division struct {
	tree      *treeFS
	dir       string // of the kustomization
	file      string // of the kustomization
	k         *kustypes.Kustomization
	size      int // of a part
	documents []document
	patches   []patch          // of k.Patches
	scalars   []string         // of what the kustomization adds to objects
	names     map[string][]int // documents by the names that they have until the last transformer
	known     map[resid.ResId]int
}

// document is an object in a manifest.
type document struct {
	name string // of the file, as the kustomization has it
	text string
	last bool // of its file
	id   resid.ResId
	// scalars are the texts in it that can be the name of something.
	scalars []string
}

// patch is what is known of a patch.
type patch struct {
	target int // the only document that it is for; everyDocument when it selects some, or when there is no such document
	json   bool
}

const everyDocument = -1

// divide prepares a build in parts, or returns errWhole. The caller holds builds.
func divide(tree *treeFS, dir string, p *prepared, size int) (*division, error) {
	k := p.Kustomization
	if !independent(k) {
		return nil, errWhole
	}
	d := &division{tree: tree, dir: dir, file: p.file, k: k, size: size, names: map[string][]int{}, known: map[resid.ResId]int{}}
	texts, err := d.manifests()
	if err != nil {
		return nil, err
	}
	for i, name := range k.Resources {
		if err := d.read(name, texts[i]); err != nil {
			return nil, err
		}
	}
	if err := d.identify(); err != nil {
		return nil, err
	}
	return d, d.look()
}

// independent says whether the kustomization has only fields that do the same to each object, whatever the others are.
func independent(k *kustypes.Kustomization) bool {
	rest := *k
	rest.APIVersion, rest.MetaData, rest.Resources, rest.BuildMetadata = "", nil, nil, nil
	rest.Namespace, rest.NamePrefix, rest.NameSuffix = "", "", ""
	rest.CommonLabels, rest.Labels, rest.CommonAnnotations = nil, nil, nil
	rest.Patches, rest.Images = nil, nil
	return equality.Semantic.DeepEqual(rest, kustypes.Kustomization{TypeMeta: kustypes.TypeMeta{Kind: kustypes.KustomizationKind}})
}

// manifests reads the manifests, or returns errWhole when there are few objects in them.
func (d *division) manifests() ([]string, error) {
	var texts []string
	documents := 0
	for _, name := range d.k.Resources {
		if !isManifest(name) || path.IsAbs(name) || d.tree.IsDir(path.Join(d.dir, name)) || strings.Contains(name, companions) {
			return nil, errWhole
		}
		data, err := d.tree.ReadFile(path.Join(d.dir, name))
		if err != nil {
			return nil, errWhole
		}
		text := strings.ReplaceAll(string(data), "\r\n", "\n")
		documents += strings.Count(text, "\n---") + 1
		texts = append(texts, text)
	}
	if documents < 2*d.size {
		return nil, errWhole
	}
	return texts, nil
}

// separator is where kustomize divides a manifest.
var separator = regexp.MustCompile(`\n---.*\n`)

// read takes the documents out of a manifest, as kustomize would.
func (d *division) read(name, all string) error {
	for _, s := range separator.FindAllString(all, -1) {
		if rest := strings.TrimSpace(s[len("\n---"):]); rest != "" && rest[0] != '#' {
			return errWhole
		}
	}
	texts := separator.Split(all, -1)
	for i, text := range texts {
		last := i == len(texts)-1
		node, err := single(text, last)
		if err != nil {
			return err
		}
		if node == nil {
			continue
		}
		if !isOrdinary(node) {
			return errWhole
		}
		id := resid.NewResIdWithNamespace(resid.GvkFromNode(node), node.GetName(), node.GetNamespace())
		d.documents = append(d.documents, document{name: name, text: text, last: last, id: id, scalars: scalarsOf(node.YNode(), nil)})
	}
	return nil
}

// single decodes a text with one document; nil when there is nothing in it.
func single(text string, last bool) (*kyaml.RNode, error) {
	if !last {
		text += "\n"
	}
	decoder := kyaml.NewDecoder(bytes.NewBufferString(text))
	var first, second kyaml.Node
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil || !errors.Is(decoder.Decode(&second), io.EOF) {
		return nil, errWhole
	}
	if kyaml.IsYNodeEmptyDoc(&first) {
		return nil, nil
	}
	return kyaml.NewRNode(&first), nil
}

// isOrdinary says whether a document is an object that kustomize takes as it is.
func isOrdinary(node *kyaml.RNode) bool {
	if !isPlain(node.YNode()) || node.GetApiVersion() == "" || node.GetKind() == "" || node.GetName() == "" || strings.HasSuffix(node.GetKind(), "List") {
		return false
	}
	meta, err := node.GetValidatedMetadata()
	if err != nil || strings.HasPrefix(meta.APIVersion, "kustomize.config.k8s.io/") {
		return false
	}
	for name := range meta.Annotations {
		if marks(name) {
			return false
		}
	}
	return true
}

// marks says whether there is one of the annotations in a text that kustomize keeps its own notes in.
func marks(text string) bool {
	return strings.Contains(text, "config.kubernetes.io") || strings.Contains(text, "config.k8s.io")
}

// longestName is the longest that a name of an object can be.
const longestName = 253

// scalarsOf adds the values in a node that can be names.
func scalarsOf(node *kyaml.Node, to []string) []string {
	switch node.Kind {
	case kyaml.ScalarNode:
		if len(node.Value) > 0 && len(node.Value) <= longestName {
			to = append(to, node.Value)
		}
	case kyaml.MappingNode:
		for i := 1; i < len(node.Content); i += 2 {
			to = scalarsOf(node.Content[i], to)
		}
	default:
		for _, child := range node.Content {
			to = scalarsOf(child, to)
		}
	}
	return to
}

// effective is an id as kustomize compares it: without a namespace is in the one called default.
func effective(id resid.ResId) resid.ResId {
	id.Namespace = id.EffectiveNamespace()
	return id
}

// identify finds the documents by their ids, of which no two are the same.
func (d *division) identify() error {
	for i, doc := range d.documents {
		id := effective(doc.id)
		if other, twice := d.known[id]; twice {
			return twiceError(id, d.whole(doc.name), d.whole(d.documents[other].name))
		}
		d.known[id] = i
		d.names[doc.id.Name] = append(d.names[doc.id.Name], i)
		if d.k.NamePrefix != "" {
			d.names[d.k.NamePrefix+doc.id.Name] = append(d.names[d.k.NamePrefix+doc.id.Name], i)
		}
	}
	return nil
}

func twiceError(id resid.ResId, one, other string) error {
	name := id.Name
	if id.Namespace != "" && !id.IsClusterScoped() {
		name = id.Namespace + "/" + name
	}
	return fmt.Errorf("%s/%s is defined twice, in %s and in %s: remove one", id.Kind, name, one, other)
}

func (d *division) whole(name string) string { return local(path.Join(d.dir, name)) }

// look reads the patches, and what they and other fields add to objects.
func (d *division) look() error {
	for _, p := range d.k.Patches {
		text := p.Patch
		if p.Path != "" {
			data, err := d.tree.ReadFile(at(d.dir, p.Path))
			if err != nil {
				return errWhole
			}
			text = string(data)
		}
		known, err := d.patch(p, text)
		if err != nil {
			return err
		}
		d.patches = append(d.patches, known)
	}
	fields := *d.k
	fields.APIVersion, fields.Resources, fields.Patches = "", nil, nil
	data, err := yaml.Marshal(fields)
	if err != nil {
		return errWhole
	}
	node, err := kyaml.Parse(string(data))
	if err != nil || marks(string(data)) {
		return errWhole
	}
	d.scalars = scalarsOf(node.YNode(), d.scalars)
	return nil
}

// patch looks at one patch. It must leave alone what identifies an object.
func (d *division) patch(p kustypes.Patch, text string) (patch, error) {
	if p.Options != nil || marks(text) {
		return patch{}, errWhole
	}
	node, err := single(strings.TrimSpace(text), false)
	if err != nil || node == nil || !isPlain(node.YNode()) {
		return patch{}, errWhole
	}
	d.scalars = scalarsOf(node.YNode(), d.scalars)
	if node.YNode().Kind == kyaml.SequenceNode {
		if p.Target == nil || !leavesIdentity(node) {
			return patch{}, errWhole
		}
		return patch{target: everyDocument, json: true}, nil
	}
	if p.Target != nil {
		return patch{target: everyDocument}, nil
	}
	id := effective(resid.NewResIdWithNamespace(resid.GvkFromNode(node), node.GetName(), node.GetNamespace()))
	if target, ok := d.known[id]; ok {
		return patch{target: target}, nil
	}
	return patch{target: everyDocument}, nil
}

// leavesIdentity says whether no operation of a JSON patch is about the kind, the name or the namespace.
func leavesIdentity(node *kyaml.RNode) bool {
	for _, operation := range node.Content() {
		for _, field := range []string{"path", "from"} {
			at := kyaml.NewRNode(operation).Field(field)
			if at == nil {
				continue
			}
			pointer := at.Value.YNode().Value
			if slices.Contains([]string{"", "/", "/kind", "/apiVersion", "/metadata"}, pointer) || strings.HasPrefix(pointer, "/metadata/name") {
				return false
			}
		}
	}
	return true
}
