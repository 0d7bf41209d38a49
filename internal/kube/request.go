package kube

import (
	"context"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// requestTimeout is how long one request may take. The API server itself gives up after a minute.
const requestTimeout = 70 * time.Second

// do makes a request for an object of a kind, in a namespace or in none. It tries again while the API server restarts or has
// no time, which is safe because everything that a Client asks for can be asked for twice. A kind that is no longer served
// where it was is looked up once more. The error is of the look-up; what the API server refused is in the Result.
func (c *Client) do(ctx context.Context, gvk schema.GroupVersionKind, namespace string, request func(*meta.RESTMapping) *rest.Request) (rest.Result, error) {
	mapping, err := c.Mapping(gvk)
	if err != nil {
		return rest.Result{}, err
	}
	result := c.persist(ctx, request(mapping))
	failed := result.Error()
	// Without a namespace, an object of a kind that was in namespaces may not even have been asked for.
	moved := failed != nil && namespace == "" && mapping.Scope.Name() == meta.RESTScopeNameNamespace
	if !moved && !isUnserved(failed) || !c.mapper.forget() {
		return result, nil
	}
	if mapping, err = c.Mapping(gvk); err != nil {
		return rest.Result{}, err
	}
	return c.persist(ctx, request(mapping)), nil
}

func (c *Client) persist(ctx context.Context, request *rest.Request) rest.Result {
	const first, longest = 100 * time.Millisecond, 2 * time.Second
	end := time.Now().Add(c.patience)
	// An overloaded API server takes longer to give up than there is patience: a second try is made in any case.
	for pause, again := first, false; ; pause, again = min(2*pause, longest), true {
		attempt, cancel := context.WithTimeout(ctx, requestTimeout)
		result := request.Do(attempt)
		cancel()
		if !isTransient(result.Error()) || again && time.Now().Add(pause).After(end) {
			return result
		}
		select {
		case <-ctx.Done():
			return result
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // spreads load, keeps no secret
		}
	}
}

// isTransient says whether the API server was not there, or had no time.
func isTransient(err error) bool {
	if err == nil {
		return false
	}
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) ||
		utilnet.IsHTTP2ConnectionLost(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
}

// isUnserved says whether the API server knows no such path, as opposed to no such object.
func isUnserved(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}
