package nodes_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// credential is the password of an address; in golden files there is a word in its place.
var credential = regexp.MustCompile(`(://[a-z]*:?)[^@/\s]+@`)

// lacking says where an object of the cluster is not as it should be, nothing when all that is wanted is there. It may have more
// fields, in the items of lists too; but lists have the items that are wanted, in that order.
func lacking(path string, want, live any) []string {
	switch want := want.(type) {
	case map[string]any:
		there, ok := live.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is %v, want fields", path, live)}
		}
		var out []string
		for _, key := range slices.Sorted(maps.Keys(want)) {
			out = append(out, lacking(path+"."+key, want[key], there[key])...)
		}
		return out
	case []any:
		there, ok := live.([]any)
		if !ok || len(there) != len(want) {
			return []string{fmt.Sprintf("%s is %v, want %v", path, live, want)}
		}
		var out []string
		for i := range want {
			out = append(out, lacking(fmt.Sprintf("%s[%d]", path, i), want[i], there[i])...)
		}
		return out
	case string:
		if text, ok := live.(string); ok && credential.ReplaceAllString(text, "${1}CREDENTIAL@") == want {
			return nil
		}
	}
	if reflect.DeepEqual(want, live) || isAmount(path) && equalAmounts(want, live) {
		return nil
	}
	return []string{fmt.Sprintf("%s is %v, want %v", path, live, want)}
}

// isAmount says whether a field is of Kubernetes' type of amounts, of which the API server returns another spelling.
func isAmount(path string) bool {
	return strings.Contains(path, ".resources.") || strings.HasSuffix(path, ".sizeLimit")
}

func equalAmounts(want, live any) bool {
	a, err := resource.ParseQuantity(fmt.Sprint(want))
	if err != nil {
		return false
	}
	b, err := resource.ParseQuantity(fmt.Sprint(live))
	return err == nil && a.Cmp(b) == 0
}

// readObjects reads a stream of YAML documents, with numbers as the API's clients read them.
func readObjects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, document := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		data, err := yaml.YAMLToJSON([]byte(document + "\n"))
		check(t, err)
		object := &unstructured.Unstructured{}
		check(t, object.UnmarshalJSON(data))
		out = append(out, object)
	}
	return out
}

// showData puts the text of a Secret in the place of its encoded form.
func showData(t *testing.T, object *unstructured.Unstructured, change func(string) string) {
	t.Helper()
	if object.GetKind() != "Secret" {
		return
	}
	data, _, err := unstructured.NestedStringMap(object.Object, "data")
	check(t, err)
	for key, value := range data {
		text, err := base64.StdEncoding.DecodeString(value)
		check(t, err)
		data[key] = change(string(text))
	}
	check(t, unstructured.SetNestedStringMap(object.Object, data, "data"))
}

// TestSampleComparison holds that the comparison of golden files and live objects can fail.
func TestSampleComparison(t *testing.T) {
	for _, c := range []struct {
		want, live string
		lacks      int
	}{
		{"{a: {b: 1}}", "{a: {b: 1, c: 2}, d: 3}", 0},
		{"{a: {b: 1}}", "{a: {b: 2}}", 1},
		{"{a: {b: 1}}", "{a: {}}", 1},
		{"{a: {b: 1}}", "{a: text}", 1},
		{"{a: [{b: 1}, {b: 2}]}", "{a: [{b: 1, c: 0}, {b: 2}]}", 0},
		{"{a: [{b: 1}, {b: 2}]}", "{a: [{b: 2}, {b: 1}]}", 2},
		{"{a: [1]}", "{a: [1, 2]}", 1},
		{"{a: '1'}", "{a: 1}", 1},
		{"{a: false}", "{}", 1},
		{"{resources: {limits: {cpu: '0.1', memory: 1024Mi}}}", "{resources: {limits: {cpu: 100m, memory: 1Gi}}}", 0},
		{"{resources: {limits: {cpu: '0.1'}}}", "{resources: {limits: {cpu: 10m}}}", 1},
		{"{a: 0.1}", "{a: 100m}", 1},
		{"{a: 'postgres://u:CREDENTIAL@h/d'}", "{a: 'postgres://u:secret@h/d'}", 0},
		{"{a: 'postgres://u:CREDENTIAL@h/d'}", "{a: 'postgres://u:secret@other/d'}", 1},
	} {
		read := func(text string) any {
			return readObjects(t, "apiVersion: v1\nkind: Any\nspec: "+text)[0].Object
		}
		if got := lacking("", read(c.want), read(c.live)); len(got) != c.lacks {
			t.Errorf("%s in %s: %v, want %d", c.want, c.live, got, c.lacks)
		}
	}
}
