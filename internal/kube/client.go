package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Client speaks to one cluster as one identity. It is safe for concurrent use.
type Client struct {
	// Dynamic lists and watches.
	Dynamic dynamic.Interface
	// Metadata lists and watches what objects are called, without what is in them.
	Metadata metadata.Interface
	// Mapper knows the resources that the cluster serves; it learns new ones when asked for them.
	Mapper meta.RESTMapper

	rest      rest.Interface
	mapper    *mapper
	config    *rest.Config
	transport http.RoundTripper // of the cluster, without an identity
	patience  time.Duration
	own       *Client
	key       string
}

// Cluster names the cluster that the client speaks to. It is empty for the one that Peyk runs in.
func (c *Client) Cluster() string { return c.key }

// Own returns the client of the same cluster that has the rights which the cluster is reached with, and impersonates
// nobody.
func (c *Client) Own() *Client { return c.own }

// User names whom the client impersonates. It is empty when that is nobody.
func (c *Client) User() string { return c.config.Impersonate.UserName }

// Config returns a copy of how the client reaches its cluster, for libraries that make clients of their own.
func (c *Client) Config() *rest.Config { return rest.CopyConfig(c.config) }

// ApplyOptions say how an object is applied.
type ApplyOptions struct {
	// Manager is the field manager. Required.
	Manager string
	// DryRun checks everything that the API server checks and writes nothing.
	DryRun bool
	// Strict makes fields that the kind does not have an error.
	Strict bool
	// Body is the object as JSON, when the caller has it already.
	Body []byte
}

// Apply makes obj so by server-side apply, taking fields over from other managers. It returns the object as it is then,
// and whether it was created. Errors are those of the API server; meta.IsNoMatchError tells an unknown kind.
func (c *Client) Apply(ctx context.Context, obj *unstructured.Unstructured, o ApplyOptions) (*unstructured.Unstructured, bool, error) {
	body := o.Body
	if body == nil {
		var err error
		if body, err = obj.MarshalJSON(); err != nil {
			return nil, false, fmt.Errorf("encoding %s: %w", obj.GetName(), err)
		}
	}
	request := func(mapping *meta.RESTMapping) *rest.Request {
		r := at(c.rest.Patch(types.ApplyPatchType), mapping, obj.GetNamespace(), obj.GetName()).
			Param("fieldManager", o.Manager).Param("force", "true").
			Body(body)
		if o.DryRun {
			r = r.Param("dryRun", metav1.DryRunAll)
		}
		if o.Strict {
			r = r.Param("fieldValidation", metav1.FieldValidationStrict)
		}
		return r
	}
	result, err := c.do(ctx, obj.GroupVersionKind(), obj.GetNamespace(), request)
	if err != nil {
		return nil, false, err
	}
	var code int
	live, err := read(result.StatusCode(&code))
	return live, code == http.StatusCreated, HideSecret(obj.GroupVersionKind().GroupKind(), err)
}

// Create creates obj. apierrors.IsAlreadyExists tells that there is one of that name, which can be this one when the first answer
// was lost.
func (c *Client) Create(ctx context.Context, obj *unstructured.Unstructured, manager string) (*unstructured.Unstructured, error) {
	body, err := obj.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", obj.GetName(), err)
	}
	result, err := c.do(ctx, obj.GroupVersionKind(), obj.GetNamespace(), func(mapping *meta.RESTMapping) *rest.Request {
		return among(c.rest.Post(), mapping, obj.GetNamespace()).Param("fieldManager", manager).Body(body)
	})
	if err != nil {
		return nil, err
	}
	live, err := read(result)
	return live, HideSecret(obj.GroupVersionKind().GroupKind(), err)
}

// Patch changes obj, which has to be in the cluster, by a JSON patch (RFC 6902).
func (c *Client) Patch(ctx context.Context, obj *unstructured.Unstructured, patch []byte, manager string) (*unstructured.Unstructured, error) {
	result, err := c.do(ctx, obj.GroupVersionKind(), obj.GetNamespace(), func(mapping *meta.RESTMapping) *rest.Request {
		return at(c.rest.Patch(types.JSONPatchType), mapping, obj.GetNamespace(), obj.GetName()).
			Param("fieldManager", manager).Body(patch)
	})
	if err != nil {
		return nil, err
	}
	return read(result)
}

// Get returns the object, or an error that apierrors.IsNotFound knows.
func (c *Client) Get(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	result, err := c.do(ctx, gvk, namespace, func(mapping *meta.RESTMapping) *rest.Request {
		return at(c.rest.Get(), mapping, namespace, name)
	})
	if err != nil {
		return nil, err
	}
	return read(result)
}

// Delete deletes the object in the background. With a uid, only the object of that uid is deleted. An object that is
// gone already, or whose kind is gone, is no error.
func (c *Client) Delete(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string, uid types.UID) error {
	options := metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}
	if uid != "" {
		options.Preconditions = metav1.NewUIDPreconditions(string(uid))
	}
	options.SetGroupVersionKind(metav1.SchemeGroupVersion.WithKind("DeleteOptions"))
	body, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("encoding the delete options: %w", err)
	}
	result, err := c.do(ctx, gvk, namespace, func(mapping *meta.RESTMapping) *rest.Request {
		return at(c.rest.Delete(), mapping, namespace, name).Body(body)
	})
	if err == nil {
		err = result.Error()
	}
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
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

// at names the object that a request is for. A name that leads elsewhere, such as "..", is the request's error: names come
// from files and statuses of users.
func at(r *rest.Request, mapping *meta.RESTMapping, namespace, name string) *rest.Request {
	return among(r, mapping, namespace).Name(name)
}

// among names the objects of a kind in a namespace.
func among(r *rest.Request, mapping *meta.RESTMapping, namespace string) *rest.Request {
	gvr := mapping.Resource
	if gvr.Group == "" {
		r = r.AbsPath("api", gvr.Version)
	} else {
		r = r.AbsPath("apis", gvr.Group, gvr.Version)
	}
	return r.NamespaceIfScoped(namespace, mapping.Scope.Name() == meta.RESTScopeNameNamespace).Resource(gvr.Resource)
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
