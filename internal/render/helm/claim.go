package helm

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"

	helmkube "helm.sh/helm/v4/pkg/kube"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// hidden is the client of an object that nobody finds who reads it. Helm reads every object of a release that it has not
// applied before, only to tell those that are there from those that are not. A server-side apply treats both alike, and
// its answer tells one from the other, so that for objects which become part of the release in any case the reading
// would be a request each for nothing.
type hidden struct{ resource.RESTClient }

// Get returns a request that finds nothing, without asking the API server.
func (hidden) Get() *rest.Request { return nothing().Get() }

// hide makes objects ones that nobody finds who reads them.
func hide(objects helmkube.ResourceList) {
	for _, info := range objects {
		info.Client = hidden{info.Client}
	}
}

// show takes back what hide did.
func show(objects helmkube.ResourceList) {
	for _, info := range objects {
		if h, ok := info.Client.(hidden); ok {
			info.Client = h.RESTClient
		}
	}
}

// nothing is a client of an API server that has no objects.
var nothing = sync.OnceValue(func() *rest.RESTClient {
	negotiator := runtime.NewClientNegotiator(scheme.Codecs.WithoutConversion(), schema.GroupVersion{})
	content := rest.ClientContentConfig{ContentType: runtime.ContentTypeJSON, Negotiator: negotiator}
	client := &http.Client{Transport: emptiness{}}
	empty, err := rest.NewRESTClient(&url.URL{Scheme: "http", Host: "nothing.invalid"}, "", content, nil, client)
	if err != nil {
		panic(err) // it fails for a URL that is none
	}
	return empty
})

// emptiness answers every request with 404.
type emptiness struct{}

// RoundTrip implements http.RoundTripper.
func (emptiness) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusNotFound, Status: "404 Not Found", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(&bytes.Buffer{}), Request: r,
	}, nil
}
