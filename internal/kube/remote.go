package kube

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"unique"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig says how to reach another cluster. Only Sanitize makes one, so that nothing in it reads files or runs
// programs of the machine that Peyk runs on, unless the administrator allows that. It can be compared, and does not show
// its content when it is printed. The zero Kubeconfig stands for the cluster that Peyk runs in.
type Kubeconfig struct{ text unique.Handle[string] }

// String hides the credentials.
func (k Kubeconfig) String() string {
	if k == (Kubeconfig{}) {
		return "own cluster"
	}
	return "other cluster"
}

// GoString hides the credentials.
func (k Kubeconfig) GoString() string { return k.String() }

// RemoteOptions are what an administrator allows in the kubeconfigs of users.
type RemoteOptions struct {
	// AllowExec lets a kubeconfig run programs to get credentials.
	AllowExec bool
	// AllowInsecureTLS lets a kubeconfig turn off the check of the server's certificate.
	AllowInsecureTLS bool
}

// Sanitize reads a kubeconfig of a user and keeps of its current context what is safe: the server, certificates and keys
// that are in it as data, tokens, passwords, impersonation and the proxy. What is not safe is dropped where the rest
// suffices, and refused, naming the field, where it does not.
func Sanitize(kubeconfig []byte, o RemoteOptions) (Kubeconfig, error) {
	in, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return Kubeconfig{}, errors.New("reading the kubeconfig: it is not a valid kubeconfig") // the parser quotes what it read
	}
	current, ok := in.Contexts[in.CurrentContext]
	if !ok || current == nil {
		return Kubeconfig{}, fmt.Errorf("current-context: there is no context %q in the kubeconfig", in.CurrentContext)
	}
	cluster, err := o.cluster(current.Cluster, in.Clusters[current.Cluster])
	if err != nil {
		return Kubeconfig{}, err
	}
	out := clientcmdapi.NewConfig()
	out.CurrentContext = "current"
	out.Clusters["current"] = cluster
	out.Contexts["current"] = &clientcmdapi.Context{Cluster: "current"}
	if current.AuthInfo != "" {
		user, err := o.user(current.AuthInfo, in.AuthInfos[current.AuthInfo])
		if err != nil {
			return Kubeconfig{}, err
		}
		out.AuthInfos["current"] = user
		out.Contexts["current"].AuthInfo = "current"
	}
	text, err := clientcmd.Write(*out)
	if err != nil {
		return Kubeconfig{}, fmt.Errorf("writing the sanitised kubeconfig: %w", err)
	}
	return Kubeconfig{unique.Make(string(text))}, nil
}

func (o RemoteOptions) cluster(name string, in *clientcmdapi.Cluster) (*clientcmdapi.Cluster, error) {
	if in == nil {
		return nil, fmt.Errorf("clusters: there is no cluster %q in the kubeconfig", name)
	}
	field := func(f string) string { return fmt.Sprintf("clusters[%s].cluster.%s", name, f) }
	server, err := url.Parse(in.Server)
	if err != nil || server.Host == "" || (server.Scheme != "https" && server.Scheme != "http") {
		return nil, fmt.Errorf("%s is not an http or https URL with a host", field("server"))
	}
	out := &clientcmdapi.Cluster{
		Server: in.Server, TLSServerName: in.TLSServerName, CertificateAuthorityData: in.CertificateAuthorityData,
		ProxyURL: in.ProxyURL, DisableCompression: in.DisableCompression,
	}
	authority := len(in.CertificateAuthorityData) > 0
	switch {
	case in.CertificateAuthority != "" && !authority:
		return nil, fmt.Errorf("%s is the path of a file, which Peyk does not read: put the certificate into certificate-authority-data", field("certificate-authority"))
	case !in.InsecureSkipTLSVerify:
	case o.AllowInsecureTLS:
		out.InsecureSkipTLSVerify = true
	case !authority && server.Scheme == "https":
		return nil, fmt.Errorf("%s is not allowed: set certificate-authority-data", field("insecure-skip-tls-verify"))
	}
	return out, nil
}

func (o RemoteOptions) user(name string, in *clientcmdapi.AuthInfo) (*clientcmdapi.AuthInfo, error) {
	if in == nil {
		return nil, fmt.Errorf("users: there is no user %q in the kubeconfig", name)
	}
	out := &clientcmdapi.AuthInfo{
		ClientCertificateData: in.ClientCertificateData, ClientKeyData: in.ClientKeyData, Token: in.Token,
		Username: in.Username, Password: in.Password,
		Impersonate: in.Impersonate, ImpersonateUID: in.ImpersonateUID,
		ImpersonateGroups: in.ImpersonateGroups, ImpersonateUserExtra: in.ImpersonateUserExtra,
	}
	if o.AllowExec {
		out.Exec = in.Exec
	}
	if in.Token != "" || in.Username != "" || len(in.ClientCertificateData) > 0 && len(in.ClientKeyData) > 0 || out.Exec != nil {
		return out, nil
	}
	for _, f := range []struct {
		name string
		set  bool
		mend string
	}{
		{"exec", in.Exec != nil, "use a token or a client certificate, or let the administrator set --insecure-kubeconfig-exec"},
		{"auth-provider", in.AuthProvider != nil, "use a token or a client certificate"},
		{"tokenFile", in.TokenFile != "", "put the token into token"},
		{"client-certificate", in.ClientCertificate != "", "put the certificate into client-certificate-data"},
		{"client-key", in.ClientKey != "", "put the key into client-key-data"},
	} {
		if f.set {
			return nil, fmt.Errorf("users[%s].user.%s is not allowed: %s", name, f.name, f.mend)
		}
	}
	return out, nil
}

// config returns how to reach the cluster.
func (k Kubeconfig) config() (*rest.Config, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(k.text.Value()))
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return config, nil
}

// key names the cluster without telling how to reach it.
func (k Kubeconfig) key() string {
	sum := sha256.Sum256([]byte(k.text.Value()))
	return hex.EncodeToString(sum[:8])
}
