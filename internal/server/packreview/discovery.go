package packreview

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	renderv1 "github.com/peyk/peyk/api/render/v1alpha1"
)

// discovery answers what there is. It is no secret, but only the API server asks.
func (h *handler) discovery(document any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := h.user(r); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		answer(w, http.StatusOK, document)
	})
}

func group() metav1.APIGroup {
	version := metav1.GroupVersionForDiscovery{GroupVersion: renderv1.GroupVersion.String(), Version: renderv1.GroupVersion.Version}
	return metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}, Name: renderv1.GroupVersion.Group,
		Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
	}
}

func groups() metav1.APIGroupList {
	return metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{group()}}
}

func resources() metav1.APIResourceList {
	return metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: renderv1.GroupVersion.String(),
		APIResources: []metav1.APIResource{{
			Name: renderv1.PackReviewResource, SingularName: "packreview", Namespaced: true, Kind: renderv1.PackReviewKind,
			Verbs: metav1.Verbs{"create"},
		}},
	}
}
