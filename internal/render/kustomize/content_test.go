package kustomize

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// What is read directly is what kustomize's own way over text yields.
func TestContentIsAsKustomizeEncodesIt(t *testing.T) {
	text := `apiVersion: v1
kind: X
metadata: {name: x, labels: {a: "1", b: 'true', c: on, d: yes}}
spec:
  int: 5
  big: 9007199254740993
  negative: -3
  octal: 0o17
  old: 0777
  hex: 0xff
  float: 1.5
  whole: 2.0
  exponent: 1e3
  bool: true
  text: "2020-01-01"
  null1: null
  null2: ~
  date: 2020-01-01
  moment: 2020-01-01T10:00:00.5+02:00
  empty:
  tilde: "~"
  emptyMap: {}
  emptyList: []
  quoted: "0777"
  block: |
    a
     b
  folded: >-
    a
    b
  list: [1, a, {b: c}]
`
	node, err := kyaml.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	data, err := node.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := &unstructured.Unstructured{}
	if err := want.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	got, err := contentOf(node.YNode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Object, got); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	(&unstructured.Unstructured{Object: got}).DeepCopy() // panics on types that JSON does not have
}

func TestContentRefusesWhatIsNotJSON(t *testing.T) {
	for _, text := range []string{"a: .nan", "a: .inf", "? [a]\n: b", "a: !!int x", "1: a", "a: {true: b}"} {
		node, err := kyaml.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := contentOf(node.YNode()); err == nil {
			t.Errorf("%s: got %v, want an error", text, got)
		}
	}
}
