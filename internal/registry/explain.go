package registry

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// explain adds the mend to an error of a registry, where there is one.
func explain(host string, err error) error {
	if refused, ok := errors.AsType[*transport.Error](err); ok {
		switch refused.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Errorf("%s refuses access: log in with 'docker login %s', or set DOCKER_CONFIG to a folder whose config.json holds credentials for it: %w", host, host, err)
		case http.StatusNotFound:
			return fmt.Errorf("%s has no such image or repository: check the name and the tag: %w", host, err)
		case http.StatusRequestEntityTooLarge:
			return fmt.Errorf("%s, or a proxy in front of it, refuses a layer of this size: raise its limit on request bodies: %w", host, err)
		}
		return err
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Errorf("%s has a certificate of an unknown authority: add the authority to the system's certificates: %w", host, unknown)
	}
	if strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return fmt.Errorf("%s speaks plain HTTP: use --insecure: %w", host, err)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("no registry answers at %s: check the host and port, and that the registry runs: %w", host, err)
	}
	return err
}
