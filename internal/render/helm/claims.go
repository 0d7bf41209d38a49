package helm

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"

	"helm.sh/helm/v4/pkg/action"
	release "helm.sh/helm/v4/pkg/release/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const claimKind = "PersistentVolumeClaim"

// keepingClaims returns a post-renderer that sets labels on every object, and has volumes outlive what uses them: whether
// their data goes is decided when the release is removed, not by an upgrade or an uninstallation by hand.
func keepingClaims(labels map[string]string) PostRenderer {
	return editing(func(object *unstructured.Unstructured) {
		if len(labels) > 0 {
			object.SetLabels(merged(object.GetLabels(), labels))
		}
		keepClaim(object)
	})
}

// keepClaim marks a claim as one that Helm does not delete, and a StatefulSet as one whose claims stay when it goes.
func keepClaim(object *unstructured.Unstructured) {
	switch object.GetKind() {
	case claimKind:
		object.SetAnnotations(merged(object.GetAnnotations(), map[string]string{policyAnnotation: "keep"}))
	case "StatefulSet":
		policy := []string{"spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"}
		if found, _, _ := unstructured.NestedString(object.Object, policy...); found == "Delete" {
			_ = unstructured.SetNestedField(object.Object, "Retain", policy...) // what was just read there can be written
		}
	}
}

// protect marks the claims in the record of a release that was made before they were marked.
func protect(c *action.Configuration, record *release.Release) error {
	if !strings.Contains(record.Manifest, claimKind) {
		return nil
	}
	kept, err := editing(keepClaim).Run(bytes.NewBufferString(record.Manifest))
	if err != nil {
		return fmt.Errorf("reading the manifest of release %s: %w", record.Name, err)
	}
	record.Manifest = kept.String()
	if err := c.Releases.Update(record); err != nil {
		return fmt.Errorf("marking the volumes of release %s as ones to keep: %w", record.Name, err)
	}
	return nil
}

// Claims returns the PersistentVolumeClaims of a release that are there: its own, and those that its StatefulSets made.
func (e *Engine) Claims(ctx context.Context, r *Release) ([]corev1.PersistentVolumeClaim, error) {
	objects, err := split([]byte(r.record.Manifest))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest of release %s: %w", r.Name, err)
	}
	names := claimNames(objects, r.Namespace)
	if len(names) == 0 {
		return nil, nil
	}
	list, err := e.claims.PersistentVolumeClaims(r.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the PersistentVolumeClaims of namespace %s: %w", r.Namespace, err)
	}
	var found []corev1.PersistentVolumeClaim
	for i := range list.Items {
		for _, name := range names {
			if name.MatchString(list.Items[i].Name) {
				found = append(found, list.Items[i])
				break
			}
		}
	}
	return found, nil
}

// claimNames says what the claims of objects in a namespace are called.
func claimNames(objects []*unstructured.Unstructured, namespace string) []*regexp.Regexp {
	var names []*regexp.Regexp
	for _, object := range objects {
		if in := object.GetNamespace(); in != "" && in != namespace {
			continue
		}
		switch object.GetKind() {
		case claimKind:
			names = append(names, regexp.MustCompile("^"+regexp.QuoteMeta(object.GetName())+"$"))
		case "StatefulSet":
			templates, _, _ := unstructured.NestedSlice(object.Object, "spec", "volumeClaimTemplates")
			for _, template := range templates {
				fields, _ := template.(map[string]any)
				name, _, _ := unstructured.NestedString(fields, "metadata", "name")
				names = append(names, regexp.MustCompile("^"+regexp.QuoteMeta(name+"-"+object.GetName())+`-\d+$`))
			}
		}
	}
	return names
}

// dropClaims deletes the claims of a release. It returns those that are still going.
func (e *Engine) dropClaims(ctx context.Context, r *Release) (remaining []string, err error) {
	claims, err := e.Claims(ctx, r)
	if err != nil {
		return nil, err
	}
	for i := range claims {
		claim := &claims[i]
		if claim.DeletionTimestamp == nil {
			err := e.claims.PersistentVolumeClaims(r.Namespace).Delete(ctx, claim.Name, metav1.DeleteOptions{
				Preconditions: metav1.NewUIDPreconditions(string(claim.UID)),
			})
			if err != nil && !apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("deleting PersistentVolumeClaim %s: %w", claim.Name, err)
			}
		}
		remaining = append(remaining, claimKind+"/"+claim.Name)
	}
	return remaining, nil
}
