package kube

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func kubeconfig(cluster, user string) []byte {
	return fmt.Appendf(nil, `
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: there, user: me}}]
clusters: [{name: there, cluster: {server: "https://there.example:6443", %s}}]
users: [{name: me, user: {%s}}]
`, cluster, user)
}

func TestSanitizeKeepsWhatIsSafe(t *testing.T) {
	const secret = "s3cret-token"
	for name, tc := range map[string]struct {
		cluster, user string
		options       RemoteOptions
		without       []string
	}{
		"token":                              {`certificate-authority-data: QQ==`, "token: " + secret, RemoteOptions{}, nil},
		"exec beside a token is dropped":     {`certificate-authority-data: QQ==`, "token: " + secret + ", exec: {apiVersion: client.authentication.k8s.io/v1, command: evil, interactiveMode: Never}", RemoteOptions{}, []string{"evil"}},
		"auth-provider is dropped":           {`certificate-authority-data: QQ==`, "token: " + secret + ", auth-provider: {name: evil}", RemoteOptions{AllowExec: true}, []string{"evil"}},
		"token file beside a token":          {`certificate-authority-data: QQ==`, "token: " + secret + ", tokenFile: /var/run/secrets/token", RemoteOptions{}, []string{"/var/run"}},
		"certificate paths beside data":      {`certificate-authority-data: QQ==, certificate-authority: /etc/ca`, "client-certificate-data: QQ==, client-key-data: QQ==, client-key: /etc/key, client-certificate: /etc/cert, token: " + secret, RemoteOptions{AllowExec: true, AllowInsecureTLS: true}, []string{"/etc"}},
		"insecure TLS beside an authority":   {`certificate-authority-data: QQ==, insecure-skip-tls-verify: true`, "token: " + secret, RemoteOptions{}, []string{"insecure-skip-tls-verify"}},
		"proxy":                              {`certificate-authority-data: QQ==, proxy-url: "http://proxy.example:3128"`, "token: " + secret, RemoteOptions{}, nil},
		"exec that the administrator allows": {`certificate-authority-data: QQ==`, "exec: {apiVersion: client.authentication.k8s.io/v1, command: login, args: [" + secret + "], interactiveMode: Never}", RemoteOptions{AllowExec: true}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			sanitized, err := Sanitize(kubeconfig(tc.cluster, tc.user), tc.options)
			if err != nil {
				t.Fatal(err)
			}
			got := sanitized.text.Value()
			if !strings.Contains(got, secret) || !strings.Contains(got, "https://there.example:6443") {
				t.Errorf("credentials or server are lost in:\n%s", got)
			}
			for _, unsafe := range tc.without {
				if strings.Contains(got, unsafe) {
					t.Errorf("%q is still in:\n%s", unsafe, got)
				}
			}
			if shown := fmt.Sprintf("%v %+v %#v %s %v", sanitized, sanitized, Identity{Kubeconfig: sanitized}, sanitized, struct{ hidden Identity }{Identity{Kubeconfig: sanitized}}); strings.Contains(shown, secret) {
				t.Errorf("printing shows the credentials: %s", shown)
			}
			if _, err := clientcmd.RESTConfigFromKubeConfig([]byte(got)); err != nil {
				t.Errorf("the result cannot be used: %v", err)
			}
		})
	}
}

func TestSanitizeRefusesWhatCannotWork(t *testing.T) {
	for name, tc := range map[string]struct{ cluster, user, want string }{
		"exec alone":             {`certificate-authority-data: QQ==`, "exec: {apiVersion: v1, command: evil}", "users[me].user.exec is not allowed"},
		"auth-provider alone":    {`certificate-authority-data: QQ==`, "auth-provider: {name: gcp}", "users[me].user.auth-provider is not allowed"},
		"token file":             {`certificate-authority-data: QQ==`, "tokenFile: /x", "users[me].user.tokenFile is not allowed"},
		"key file":               {`certificate-authority-data: QQ==`, "client-certificate-data: QQ==, client-key: /x", "users[me].user.client-key is not allowed"},
		"authority file":         {`certificate-authority: /x`, "token: a", "clusters[there].cluster.certificate-authority is the path of a file"},
		"no check of the server": {`insecure-skip-tls-verify: true`, "token: a", "clusters[there].cluster.insecure-skip-tls-verify is not allowed"},
		"server":                 {`certificate-authority-data: QQ==, server: "unix:///x"`, "token: a", "clusters[there].cluster.server is not an http or https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			text := kubeconfig(tc.cluster, tc.user)
			if strings.Contains(tc.cluster, "server:") {
				text = []byte(strings.Replace(string(text), `server: "https://there.example:6443", `, "", 1))
			}
			if _, err := Sanitize(text, RemoteOptions{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	for name, text := range map[string]string{
		"not yaml":   "{{ s3cret",
		"empty":      "",
		"no context": "apiVersion: v1\nkind: Config\ncurrent-context: x\n",
		"no cluster": "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: x}}]\n",
		"no such user": "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: x, user: y}}]\n" +
			"clusters: [{name: x, cluster: {server: 'https://a'}}]\n",
	} {
		if _, err := Sanitize([]byte(text), RemoteOptions{}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error %v, want one without the content", name, err)
		}
	}
}
