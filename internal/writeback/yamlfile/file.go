// Package yamlfile changes objects in YAML files that people write: what a change does not touch stays as it is, to the
// byte, with comments, order, quotes, line ends and the other documents of the file.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Object names an object of a file.
type Object struct {
	// Group is the API group, such as k8s.kubit.ir. Kind and Name must be equal to those of the object.
	Group, Kind, Name string
	// Namespace must be equal too, or be left out in the file.
	Namespace string
}

// String returns the kind and the names.
func (o Object) String() string { return o.Kind + " " + o.Namespace + "/" + o.Name }

// Document is an object in a file.
type Document struct {
	Object
	// Content is the object as JSON has it.
	Content map[string]any

	node *yaml.Node
}

// ErrNoObject says that a file does not hold the object, or holds it twice.
var ErrNoObject = errors.New("the file does not hold the object")

// Documents reads the objects of a file. Documents that are no objects are left out.
func Documents(file []byte) ([]Document, error) {
	all, err := parse(file)
	if err != nil {
		return nil, err
	}
	var objects []Document
	for _, d := range all {
		if d.Kind != "" && d.Name != "" {
			objects = append(objects, d)
		}
	}
	return objects, nil
}

// parse reads every document.
func parse(file []byte) ([]Document, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(file))
	var all []Document
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("parsing YAML: %w", err)
		}
		d, err := documentOf(&node)
		if err != nil {
			return nil, fmt.Errorf("parsing YAML, document %d: %w", len(all)+1, err)
		}
		all = append(all, d)
	}
}

func documentOf(node *yaml.Node) (Document, error) {
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	d := Document{node: node}
	value, err := valueOf(node)
	if err != nil {
		return d, err
	}
	content, ok := value.(map[string]any)
	if !ok {
		return d, nil
	}
	d.Content = content
	d.Kind, _ = content["kind"].(string)
	version, _ := content["apiVersion"].(string)
	d.Group, _, _ = strings.Cut(version, "/")
	if metadata, ok := content["metadata"].(map[string]any); ok {
		d.Name, _ = metadata["name"].(string)
		d.Namespace, _ = metadata["namespace"].(string)
	}
	return d, nil
}

// Has says whether a document is the object.
func (d Document) Has(o Object) bool {
	return d.Group == o.Group && d.Kind == o.Kind && d.Name == o.Name && (d.Namespace == o.Namespace || d.Namespace == "")
}

// Find returns the one document of a file that is the object. Its error has ErrNoObject in it where there is none, or
// more than one.
func Find(file []byte, o Object) (Document, error) {
	all, err := parse(file)
	if err != nil {
		return Document{}, err
	}
	i, err := indexOf(all, o)
	if err != nil {
		return Document{}, err
	}
	return all[i], nil
}

func indexOf(all []Document, o Object) (int, error) {
	found := -1
	for i, d := range all {
		if !d.Has(o) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("%w: %s is there twice; remove one", ErrNoObject, o)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("%w: there is no %s", ErrNoObject, o)
	}
	return found, nil
}

// Update makes an object of a file be what change makes of it. The new file is parsed again, and must hold the wanted
// object and the same others as before.
func Update(file []byte, o Object, change func(object map[string]any) error) ([]byte, error) {
	all, err := parse(file)
	if err != nil {
		return nil, err
	}
	i, err := indexOf(all, o)
	if err != nil {
		return nil, err
	}
	want, _ := clone(all[i].Content).(map[string]any)
	if err := change(want); err != nil {
		return nil, err
	}
	want, _ = clone(want).(map[string]any)
	if reflect.DeepEqual(want, all[i].Content) {
		return file, nil
	}
	result, err := rewrite(file, all[i].node, want)
	if err == nil {
		err = check(result, all, i, want)
	}
	if err != nil {
		// Not to the byte then, but with its comments.
		if result, err = reformat(all, i, want); err == nil {
			err = check(result, all, i, want)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("changing %s in place: %w; write the value in a simpler form, or change the file by hand", o, err)
	}
	return result, nil
}

// check compares a file with what it was, but for one document.
func check(file []byte, before []Document, changed int, want map[string]any) error {
	after, err := parse(file)
	if err != nil {
		return err
	}
	if len(after) != len(before) {
		return errors.New("the file would have another number of documents")
	}
	for i := range after {
		expected := before[i].Content
		if i == changed {
			expected = want
		}
		if !reflect.DeepEqual(after[i].Content, expected) {
			return errors.New("the file would not say what is wanted: anchors, aliases or merge keys are in the way")
		}
	}
	return nil
}

// Parse returns the content of every document that is an object in the sense of JSON.
func Parse(file []byte) ([]map[string]any, error) {
	all, err := parse(file)
	if err != nil {
		return nil, err
	}
	var contents []map[string]any
	for _, d := range all {
		if d.Content != nil {
			contents = append(contents, d.Content)
		}
	}
	return contents, nil
}
