package writeback

import (
	"context"
	"fmt"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/source/access"
	source "github.com/peyk/peyk/internal/source/git"
)

// keyToken is the key of a Secret that holds nothing but a token, as the servers hand them out for projects and users.
const keyToken = "token"

// TargetOf reads where a PackSync writes to. Secrets are read with reader, which must not answer from a cache of them.
func TargetOf(ctx context.Context, reader client.Reader, sync *peykv1.PackSync) (Target, error) {
	t := Target{Remote: git.Remote{URL: sync.Spec.URL}}
	if sync.Spec.Ref != nil {
		t.Branch = sync.Spec.Ref.Branch
	}
	if sync.Spec.SecretRef == nil {
		return t, nil
	}
	secret, err := access.Secrets{Reader: reader, Namespace: sync.Namespace}.Get(ctx, "spec.secretRef", sync.Spec.SecretRef.Name)
	if err != nil {
		return t, err
	}
	if token := strings.TrimSpace(string(secret.Data[keyToken])); token != "" && !strings.HasPrefix(sync.Spec.URL, "ssh://") {
		secret = secret.DeepCopy()
		// Every server takes a token as the password; GitLab wants this name with one of OAuth, the others want any.
		secret.Data["username"], secret.Data["password"] = []byte("oauth2"), []byte(token)
	}
	if t.Remote.Credentials, err = source.Credentials(secret, sync.Spec.URL); err != nil {
		return t, fmt.Errorf("spec.secretRef: %w", err)
	}
	return t, nil
}

// SignerOf reads the key that signs the commits of a PackSync. Without one it returns nil.
func SignerOf(ctx context.Context, reader client.Reader, sync *peykv1.PackSync) (git.Signer, error) {
	if sync.Spec.SigningKeyRef == nil {
		return nil, nil
	}
	secret, err := access.Secrets{Reader: reader, Namespace: sync.Namespace}.Get(ctx, "spec.signingKeyRef", sync.Spec.SigningKeyRef.Name)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"identity", "git.asc"} {
		if len(secret.Data[key]) == 0 {
			continue
		}
		signer, err := git.NewSigner(secret.Data[key], secret.Data["password"])
		if err != nil {
			return nil, fmt.Errorf("spec.signingKeyRef: Secret %s, key %s: %w", secret.Name, key, err)
		}
		return signer, nil
	}
	return nil, fmt.Errorf("spec.signingKeyRef: Secret %s has neither identity, a private key for SSH, nor git.asc, one for OpenPGP", secret.Name)
}

// repositoryTarget reads where a GitRepository reads from, to write there.
func (l *Locator) repositoryTarget(ctx context.Context, repository *sourcev1.GitRepository) (Target, error) {
	spec := &repository.Spec
	name := "GitRepository " + repository.Namespace + "/" + repository.Name
	t := Target{Remote: git.Remote{URL: spec.URL}, Branch: "master"}
	if ref := spec.Reference; ref != nil {
		if ref.Tag != "" || ref.SemVer != "" || ref.Commit != "" || ref.Name != "" {
			return t, refusef("%s follows a tag or a commit, which cannot be added to: make it follow a branch, or make the change there by hand", name)
		}
		if ref.Branch != "" {
			t.Branch = ref.Branch
		}
	}
	secrets := access.Secrets{Reader: l.Secrets, Namespace: repository.Namespace}
	var proxy string
	if ref := spec.ProxySecretRef; ref != nil {
		secret, err := secrets.Get(ctx, "spec.proxySecretRef", ref.Name)
		if err == nil {
			proxy, err = source.Proxy(secret)
		}
		if err != nil {
			return t, refusef("%s: %v", name, err)
		}
	}
	if spec.SecretRef == nil {
		t.Remote.Credentials.Proxy = proxy
		return t, nil
	}
	secret, err := secrets.Get(ctx, "spec.secretRef", spec.SecretRef.Name)
	if err != nil {
		return t, refusef("%s: %v", name, err)
	}
	t.Remote.Credentials, err = l.credentials(ctx, spec, secret, proxy)
	if err != nil {
		return t, refusef("%s: spec.secretRef: %v", name, err)
	}
	return t, nil
}

func (l *Locator) credentials(ctx context.Context, spec *sourcev1.GitRepositorySpec, secret *corev1.Secret, proxy string) (git.Credentials, error) {
	if spec.Provider == sourcev1.GitProviderGitHub {
		app, credentials, err := source.App(secret)
		if err != nil {
			return credentials, err
		}
		credentials.Proxy = proxy
		return l.Mirrors.Authenticate(ctx, app, credentials)
	}
	credentials, err := source.Credentials(secret, spec.URL)
	credentials.Proxy = proxy
	return credentials, err
}
