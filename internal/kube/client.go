package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Client speaks to one cluster as one identity. It is safe for concurrent use.
type Client struct {
	// Dynamic lists and watches.
	Dynamic dynamic.Interface
	// Mapper knows the resources that the cluster serves; it learns new ones when asked for them.
	Mapper meta.RESTMapper

	rest rest.Interface
}

// ApplyOptions say how an object is applied.
type ApplyOptions struct {
	// Manager is the field manager. Required.
	Manager string
	// DryRun checks everything that the API server checks and writes nothing.
	DryRun bool
}

// Apply makes obj so by server-side apply, taking fields over from other managers. It returns the object as it is then,
// and whether it was created. Errors are those of the API server; meta.IsNoMatchError tells an unknown kind.
func (c *Client) Apply(ctx context.Context, obj *unstructured.Unstructured, o ApplyOptions) (*unstructured.Unstructured, bool, error) {
	mapping, err := c.Mapping(obj.GroupVersionKind())
	if err != nil {
		return nil, false, err
	}
	body, err := obj.MarshalJSON()
	if err != nil {
		return nil, false, fmt.Errorf("encoding %s: %w", obj.GetName(), err)
	}
	req := c.rest.Patch(types.ApplyPatchType).
		AbsPath(path(mapping, obj.GetNamespace(), obj.GetName())...).
		Param("fieldManager", o.Manager).Param("force", "true").
		Body(body)
	if o.DryRun {
		req = req.Param("dryRun", metav1.DryRunAll)
	}
	var code int
	live, err := read(req.Do(ctx).StatusCode(&code))
	return live, code == http.StatusCreated, err
}

// Get returns the object, or an error that apierrors.IsNotFound knows.
func (c *Client) Get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	mapping, err := c.Mapping(gvk)
	if err != nil {
		return nil, err
	}
	return read(c.rest.Get().AbsPath(path(mapping, namespace, name)...).Do(ctx))
}

// Delete deletes the object in the background. With a uid, only the object of that uid is deleted. An object that is
// gone already, or whose kind is gone, is no error.
func (c *Client) Delete(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string, uid types.UID) error {
	mapping, err := c.Mapping(gvk)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	options := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}
	if uid != "" {
		options.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	options.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("DeleteOptions"))
	body, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("encoding the delete options: %w", err)
	}
	err = c.rest.Delete().AbsPath(path(mapping, namespace, name)...).Body(body).Do(ctx).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Mapping returns where the cluster serves objects of the kind. meta.IsNoMatchError tells that it does not.
func (c *Client) Mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	return c.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
}

// Namespaced says whether objects of the kind live in namespaces.
func (c *Client) Namespaced(gvk schema.GroupVersionKind) (bool, error) {
	mapping, err := c.Mapping(gvk)
	if err != nil {
		return false, err
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

func path(mapping *meta.RESTMapping, namespace, name string) []string {
	gvr := mapping.Resource
	segments := []string{"apis", gvr.Group, gvr.Version}
	if gvr.Group == "" {
		segments = []string{"api", gvr.Version}
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		segments = append(segments, "namespaces", namespace)
	}
	return append(segments, gvr.Resource, name)
}

// read returns the object of an answer. Result.Error, unlike Result.Raw, reads the Status in the body of a refusal.
func read(result rest.Result) (*unstructured.Unstructured, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	raw, err := result.Raw()
	if err != nil {
		return nil, err
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("decoding the API server's answer: %w", err)
	}
	return obj, nil
}

// Newer says whether resource version a is newer than b. Resource versions of one resource can be compared as numbers
// since Kubernetes 1.35 (KEP-5504). One that is not a number counts as newer.
func Newer(a, b string) bool {
	x, errA := strconv.ParseUint(a, 10, 64)
	y, errB := strconv.ParseUint(b, 10, 64)
	return errA != nil || errB != nil || x > y
}
