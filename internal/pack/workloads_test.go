package pack_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/peyk/peyk/internal/pack"
)

func TestRollPath(t *testing.T) {
	const template, cluster = "spec template metadata annotations a/mark", "metadata annotations kubectl.kubernetes.io/restartedAt"
	rolled := map[schema.GroupKind]string{}
	for kind, want := range map[schema.GroupKind]string{
		{Group: "apps", Kind: "Deployment"}:            template,
		{Group: "apps", Kind: "StatefulSet"}:           template,
		{Group: "apps", Kind: "DaemonSet"}:             template,
		{Group: "postgresql.cnpg.io", Kind: "Cluster"}: cluster,
		{Group: "postgresql.cnpg.io", Kind: "Pooler"}:  "",
		{Group: "example.org", Kind: "Deployment"}:     "",
		{Kind: "Pod"}: "",
	} {
		if got := strings.Join(pack.RollPath(kind, "a/mark"), " "); got != want {
			t.Errorf("%s: path %q, want %q", kind, got, want)
		}
		if want != "" {
			rolled[kind] = want
		}
	}
	for _, w := range pack.Workloads() {
		if rolled[w.GroupKind()] == "" || w.Version == "" || w.Foreign != (w.Group != "apps") {
			t.Errorf("%+v is not expected", w)
		}
	}
	if n := len(pack.Workloads()); n != len(rolled) {
		t.Errorf("%d kinds, want %d", n, len(rolled))
	}
}
