package admission_test

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// What the roles of an installation let people do, and what the built-in ones gain by it: nothing but to look.
func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.namespace("staff")
	may := func(user, verb, resource string) bool {
		t.Helper()
		name, group, _ := strings.Cut(resource, ".")
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "staff", Verb: verb, Group: group, Resource: name},
		}}
		w.must(w.client.Create(t.Context(), review))
		return review.Status.Allowed
	}
	roles := []string{"view", "edit", "admin", system + "-pack-viewer", system + "-pack-editor", system + "-pack-admin"}
	for _, role := range roles {
		w.allow("of-"+role, "staff", role)
	}
	// Roles are put together, and rights are read, a moment later.
	for _, role := range roles {
		w.soon(role+" lists Packs", func() string {
			if !may("of-"+role, "list", "packs.k8s.kubit.ir") {
				return "refused"
			}
			return ""
		})
	}
	for _, c := range []struct{ verb, resource, who string }{
		{"get", "packsyncs.peyk.dev", "view edit admin viewer editor pack-admin"},
		{"watch", "secretreflectors.k8s.kubit.ir", "view edit admin viewer editor pack-admin"},
		{"list", "packrepositories.k8s.kubit.ir", "view edit admin viewer editor pack-admin"},
		{"list", "controllerrevisions.apps", "view edit admin viewer editor pack-admin"},
		{"get", "configs.k8s.kubit.ir", "editor pack-admin"},
		{"create", "packs.k8s.kubit.ir", "editor pack-admin"},
		{"patch", "packs.k8s.kubit.ir", "editor pack-admin"},
		{"delete", "packs.k8s.kubit.ir", "editor pack-admin"},
		{"update", "configs.k8s.kubit.ir", "editor pack-admin"},
		{"create", "packreviews.render.peyk.dev", "editor pack-admin"},
		{"patch", "packsyncs.peyk.dev", "pack-admin"},
		{"create", "secretreflectors.k8s.kubit.ir", "pack-admin"},
		{"update", "packrepositories.k8s.kubit.ir", "pack-admin"},
		{"create", "clusterpackrepositories.k8s.kubit.ir", ""},
		{"create", "kustomizations.kustomize.toolkit.fluxcd.io", ""},
	} {
		var who []string
		for _, role := range roles {
			if may("of-"+role, c.verb, c.resource) {
				short := strings.NewReplacer(system+"-pack-viewer", "viewer", system+"-pack-editor", "editor", system+"-pack-admin", "pack-admin")
				who = append(who, short.Replace(role))
			}
		}
		if got := strings.Join(who, " "); got != c.who {
			t.Errorf("%s %s: %q may, want %q", c.verb, c.resource, got, c.who)
		}
	}
}
