package helmrelease

import (
	"strings"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestReleaseName(t *testing.T) {
	long := strings.Repeat("a", 54)
	for name, tt := range map[string]struct {
		spec v2.HelmReleaseSpec
		want string
	}{
		"its own":          {v2.HelmReleaseSpec{}, "app"},
		"with a target":    {v2.HelmReleaseSpec{TargetNamespace: "there"}, "there-app"},
		"as it is told":    {v2.HelmReleaseSpec{TargetNamespace: "there", ReleaseName: "web"}, "web"},
		"one that is long": {v2.HelmReleaseSpec{ReleaseName: long}, strings.Repeat("a", 40) + "-a3f01b693925"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &v2.HelmRelease{ObjectMeta: named("base", "app"), Spec: tt.spec}
			if got := releaseName(obj); got != tt.want || len(got) > longestName {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRevisionDigest(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, tt := range map[string]struct{ revision, chart, want, fails string }{
		"a digest":                    {digest, "1.0.0", digest, ""},
		"a tag":                       {"latest@" + digest, "1.0.0", digest, ""},
		"a version":                   {"1.0.0_build@" + digest, "1.0.0+build", digest, ""},
		"the version of another":      {"2.0.0@" + digest, "1.0.0", "", "artifact revision 2.0.0 does not match chart version 1.0.0"},
		"something that is no digest": {"1.0.0", "1.0.0", "", "invalid artifact revision 1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := revisionDigest(tt.revision, tt.chart)
			if got != tt.want || (err != nil) != (tt.fails != "") || (err != nil && err.Error() != tt.fails) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDifference(t *testing.T) {
	object := func(data map[string]any) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"kind": "Deployment", "metadata": map[string]any{"name": "web", "resourceVersion": "7", "labels": map[string]any{"a/b": "c"}},
			"status": map[string]any{"x": int64(1)}, "data": data,
		}}
	}
	live := object(map[string]any{"same": "x", "other": int64(1), "gone": true, "list": []any{"a", "b"}})
	wanted := object(map[string]any{"same": "x", "other": int64(2), "new": true, "list": []any{"a"}})
	d := &difference{}
	d.compare(compared(live, nil), compared(wanted, nil))
	if diff := cmp.Diff(difference{added: 1, changed: 1, removed: 2}, *d, cmp.AllowUnexported(difference{})); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
	rules, err := compileIgnore([]v2.IgnoreRule{
		{Paths: []string{"/data/other", "/data/gone", "/data/new", "/metadata/labels/a~1b"}, Target: &kustomize.Selector{Kind: "Deploy.*", LabelSelector: "a/b=c"}},
		{Paths: []string{"/data/list"}, Target: &kustomize.Selector{Name: "we"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	paths := rules.of(wanted)
	d = &difference{}
	d.compare(compared(live, paths), compared(wanted, paths))
	if diff := cmp.Diff(difference{removed: 1}, *d, cmp.AllowUnexported(difference{})); diff != "" {
		t.Errorf("with rules (-want +got):\n%s", diff)
	}
	adopted := adoptPaths(wanted, live, paths)
	want := map[string]any{"same": "x", "other": int64(1), "list": []any{"a"}}
	if diff := cmp.Diff(want, adopted.Object["data"]); diff != "" {
		t.Errorf("what is applied (-want +got):\n%s", diff)
	}
}
