// Package git turns a GitRepository's spec and Secrets into what the Git adapter reads, and its includes into files.
package git

import (
	"fmt"
	"path"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	adapter "github.com/peyk/peyk/internal/git"
)

// FieldError names a field of a spec or of a Secret that cannot be used, and the mend.
type FieldError struct {
	// Field is the path of the field, such as spec.url.
	Field string
	// Problem says what is wrong and what to write instead.
	Problem string
}

// Error returns the field and the problem.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// ProviderField is the field that says who vouches for the credentials.
const ProviderField = "spec.provider"

func isApp(spec *sourcev1.GitRepositorySpec) bool { return spec.Provider == sourcev1.GitProviderGitHub }

// Check refuses what Peyk would otherwise silently ignore. It returns a *FieldError.
func Check(spec *sourcev1.GitRepositorySpec) error {
	for _, f := range []struct {
		set           bool
		field, remedy string
	}{
		{spec.Provider == sourcev1.GitProviderAzure || spec.Provider == sourcev1.GitProviderAWS, ProviderField,
			fmt.Sprintf("%q, the identity of a workload in a cloud, is not supported by this version of Peyk; use generic with a secretRef", spec.Provider)},
		{spec.ServiceAccountName != "", "spec.serviceAccountName", "is not supported by this version of Peyk; use a secretRef"},
		{isApp(spec) && spec.SecretRef == nil, ProviderField, "github needs a GitHub App: name the Secret with its number and key in spec.secretRef"},
		{isApp(spec) && isSSH(spec.URL), ProviderField, "github reads over https only; write the address in spec.url as https://"},
	} {
		if f.set {
			return &FieldError{f.field, f.remedy}
		}
	}
	for i, include := range spec.Include {
		for field, dir := range map[string]string{"fromPath": include.FromPath, "toPath": include.ToPath} {
			if leaves(dir) {
				return &FieldError{fmt.Sprintf("spec.include[%d].%s", i, field), fmt.Sprintf("%q leads out of the repository", dir)}
			}
		}
	}
	for i, dir := range spec.SparseCheckout {
		if leaves(dir) {
			return &FieldError{fmt.Sprintf("spec.sparseCheckout[%d]", i), fmt.Sprintf("%q leads out of the repository", dir)}
		}
	}
	return nil
}

func isSSH(url string) bool { return strings.HasPrefix(url, "ssh://") }

// leaves says whether a path has more steps up than down at any point.
func leaves(dir string) bool {
	clean := path.Clean(strings.TrimLeft(dir, "/"))
	return clean == ".." || strings.HasPrefix(clean, "../")
}

// Reference returns the reference that a spec asks for.
func Reference(ref *sourcev1.GitRepositoryRef) adapter.Reference {
	if ref == nil {
		return adapter.Reference{}
	}
	return adapter.Reference{Branch: ref.Branch, Tag: ref.Tag, SemVer: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
}
