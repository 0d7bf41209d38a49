package registry

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// pullSecrets are credentials as Kubernetes reads them from .dockerconfigjson files.
type pullSecrets []pullSecret

type pullSecret struct {
	// host may have * in the place of a label, or of a part of one. prefix is the beginning of the repositories' names.
	host, prefix string
	auth         authn.AuthConfig
}

// dockerHub has many names.
var dockerHub = []string{"docker.io", "registry-1.docker.io", name.DefaultRegistry}

// Resolve returns the credentials for a registry or a repository, those with the longest matching name.
func (s pullSecrets) Resolve(target authn.Resource) (authn.Authenticator, error) {
	host, repository, _ := strings.Cut(target.String(), "/")
	var best *pullSecret
	for i := range s {
		secret := &s[i]
		if !matchesHost(secret.host, host) || !under(repository, secret.prefix) {
			continue
		}
		if best == nil || len(secret.prefix) > len(best.prefix) {
			best = secret
		}
	}
	if best == nil {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(best.auth), nil
}

func matchesHost(pattern, host string) bool {
	if slices.Contains(dockerHub, pattern) {
		return slices.Contains(dockerHub, host)
	}
	if pattern == host {
		return true
	}
	patterns, labels := strings.Split(pattern, "."), strings.Split(host, ".")
	if !strings.Contains(pattern, "*") || len(patterns) != len(labels) {
		return false
	}
	for i := range patterns {
		if ok, err := path.Match(patterns[i], labels[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

func under(repository, prefix string) bool {
	return prefix == "" || repository == prefix || strings.HasPrefix(repository, prefix+"/")
}

var errDockerConfig = errors.New(`.dockerconfigjson must look like {"auths":{"<registry>":{"username":"...","password":"..."}}}; kubectl create secret docker-registry makes it so`)

// parseDockerConfigs keeps the order of the files. An error never shows what is in them.
func parseDockerConfigs(configs [][]byte) (pullSecrets, error) {
	var all pullSecrets
	for _, data := range configs {
		var config struct {
			Auths map[string]authn.AuthConfig `json:"auths"`
		}
		if err := json.Unmarshal(data, &config); err != nil || config.Auths == nil {
			return nil, errDockerConfig
		}
		for address, auth := range config.Auths {
			if auth.Auth != "" && auth.Username == "" && auth.Password == "" {
				decoded, err := base64.StdEncoding.DecodeString(auth.Auth)
				username, password, ok := strings.Cut(strings.TrimRight(string(decoded), "\x00"), ":")
				if err != nil || !ok {
					return nil, errDockerConfig
				}
				auth.Username, auth.Password = username, password
			}
			all = append(all, newPullSecret(address, auth))
		}
	}
	return all, nil
}

// newPullSecret reads the name of a registry as people write it: with a scheme, with the path of its API.
func newPullSecret(address string, auth authn.AuthConfig) pullSecret {
	address = strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://")
	host, prefix, _ := strings.Cut(strings.Trim(address, "/"), "/")
	if prefix == "v1" || prefix == "v2" {
		prefix = ""
	}
	auth.Auth = ""
	return pullSecret{host: host, prefix: strings.TrimPrefix(prefix, "v2/"), auth: auth}
}
