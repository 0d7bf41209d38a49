package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
)

// The exit codes of the process.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitNotFound    = 4
	// ExitTrouble is that of 'peyk diff' when it cannot tell, where 1 says that something differs.
	ExitTrouble = 2
)

// usageError says that the command line is wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// unreachableError says that the cluster gave no answer that could be used.
type unreachableError struct{ error }

func (e unreachableError) Unwrap() error { return e.error }

// notFoundError says that an object that was asked for by name is not there.
type notFoundError struct{ error }

func (e notFoundError) Unwrap() error { return e.error }

// trouble says that a comparison failed, which is not the same as finding a difference.
type trouble struct{ error }

func (e trouble) Unwrap() error { return e.error }

// asTrouble marks every error of a comparison but the one that says there are differences.
func asTrouble(err error) error {
	if err == nil || errors.Is(err, errDiffers) || codeOf(err) != ExitFailed {
		return err
	}
	return trouble{err}
}

func codeOf(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[unreachableError](err); ok {
		return ExitUnreachable
	}
	if _, ok := errors.AsType[notFoundError](err); ok {
		return ExitNotFound
	}
	return ExitFailed
}

// explainCluster adds the mend to an error of a command that spoke to the cluster.
func explainCluster(err error, access Access) error {
	where := "the current context of the kubeconfig"
	if access.Context != "" {
		where = fmt.Sprintf("the context %q", access.Context)
	}
	_, network := errors.AsType[net.Error](err)
	_, file := errors.AsType[*fs.PathError](err) // one of this machine; its cause would pass for an error of the network
	_, transport := errors.AsType[*url.Error](err)
	_, named := errors.AsType[notFoundError](err)
	switch {
	case named || codeOf(err) != ExitFailed:
		return err
	case apierrors.IsUnauthorized(err):
		return unreachableError{fmt.Errorf("the cluster refuses the credentials of %s: log in again: %w", where, err)}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !transport:
		return err
	case network && !file || transport:
		return unreachableError{fmt.Errorf("the cluster of %s cannot be reached: check that it runs and that this is the right context: %w", where, err)}
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the user of %s may not do that: use a context that has the right: %w", where, err)
	case unknownKind(err):
		return fmt.Errorf("the cluster does not know this kind: install Peyk with 'peyk install': %w", err)
	}
	return err
}

func unknownKind(err error) bool {
	_, discovered := errors.AsType[*discovery.ErrGroupDiscoveryFailed](err)
	return meta.IsNoMatchError(err) || discovered
}
