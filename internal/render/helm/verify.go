package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"

	"helm.sh/helm/v4/pkg/provenance"

	"github.com/peyk/peyk/internal/registry"
)

// Verification says whom charts must be signed by.
type Verification struct {
	// Keyrings hold the public keys of those who may sign the archives of an http repository, by any name.
	Keyrings map[string][]byte
	// Signed verifies a chart in a registry.
	Signed func(context.Context, Signed) error
	// Fingerprint identifies the keys, so that a chart which others have verified is verified again.
	Fingerprint string
}

// VerificationError says that a chart is not signed by somebody who is trusted.
type VerificationError struct{ Err error }

// Error says what is wrong with the signature.
func (e *VerificationError) Error() string { return "verifying the chart: " + e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *VerificationError) Unwrap() error { return e.Err }

func (v *Verification) check(scheme string) error {
	switch {
	case scheme == "oci" && v.Signed == nil:
		return errors.New("spec.verify.provider: charts in a registry are verified with cosign")
	case scheme != "oci" && (len(v.Keyrings) == 0 || scheme == "builtin"):
		return errors.New("spec.verify.provider: charts of an index.yaml are verified with pgp, and those inside Peyk not at all")
	}
	return nil
}

// verified finds the manifest of a chart in a registry whose signature is good, so that no other one is pulled.
func (s *Store) verified(ctx context.Context, r Repository, v Version) (Version, error) {
	if r.Verify == nil || r.Verify.Signed == nil {
		return v, nil
	}
	located, signed, err := s.Locate(ctx, r, v.Name, v.Version)
	if err != nil {
		return v, err
	}
	if err := r.Verify.Signed(ctx, signed); err != nil {
		return v, &VerificationError{fmt.Errorf("%s: %w", v.URL, err)}
	}
	v.manifest = located.manifest
	return v, nil
}

// verify checks the signature of an archive that was just read.
func (s *Store) verify(ctx context.Context, r Repository, v Version, archive []byte) error {
	if r.Verify == nil || r.Verify.Signed != nil {
		return nil // one in a registry was verified before it was read
	}
	address, err := url.Parse(v.URL)
	if err != nil {
		return fmt.Errorf("%s is not a URL", v.URL)
	}
	beside := *address
	beside.Path += ".prov"
	beside.RawPath = ""
	statement, err := s.http.archive(ctx, r, Version{URL: beside.String()})
	var refused *ServerError
	if errors.As(err, &refused) && refused.Status == 404 {
		return &VerificationError{fmt.Errorf("%s is not there: sign the chart with helm package --sign, and publish both files", beside.Redacted())}
	}
	if err != nil {
		return fmt.Errorf("reading the signature of the chart: %w", err)
	}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(r.Verify.Keyrings)) {
		err := signedBy(r.Verify.Keyrings[name], archive, statement, path.Base(address.Path))
		if err == nil {
			return nil
		}
		problems = append(problems, fmt.Errorf("with %s: %w", name, err))
	}
	return &VerificationError{fmt.Errorf("%s is no signature that counts: %w", beside.Redacted(), join(problems))}
}

// signedBy verifies a provenance file with one keyring. Helm reads those from files only.
func signedBy(keyring, archive, statement []byte, name string) error {
	file, err := os.CreateTemp("", "keyring-")
	if err != nil {
		return fmt.Errorf("making room for a keyring: %w", err)
	}
	defer os.Remove(file.Name())
	_, err = file.Write(keyring)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing a keyring: %w", err)
	}
	signatory, err := provenance.NewFromKeyring(file.Name(), "")
	if err != nil {
		return errors.New("it is not a keyring")
	}
	_, err = signatory.Verify(archive, statement, name)
	return err
}

// scope identifies as whom a repository is read, and what is demanded of its charts.
func (r Repository) scope() string {
	hash := sha256.New()
	a := r.access()
	who := registry.Access{Username: a.Username, Password: a.Password, DockerConfigs: a.DockerConfigs}
	fmt.Fprintf(hash, "%s %s\x00", r.URL, who.Fingerprint())
	if r.Git != nil {
		c := r.Git.Credentials
		fmt.Fprintf(hash, "%q %q %q %q %q", c.Username, c.Password, c.BearerToken, c.SSHKey, c.ClientCert)
	}
	if r.Verify != nil {
		fmt.Fprintf(hash, "\x00%s", r.Verify.Fingerprint)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
