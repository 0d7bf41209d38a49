package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
)

func (c *creation) newSecret() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "secret", Short: "Create or update a secret that sources, releases and receivers read",
		Long: `Create or update a secret in the form that sources, releases and receivers read. With --export it is printed: encrypt it,
for example with SOPS, before you commit it.`,
		Example: "  peyk create secret git app --url ssh://git@git.example.org/app",
	})
	cmd.AddCommand(
		c.newSecretGit(), c.newSecretHelm(), c.newSecretOCI(), c.newSecretTLS(), c.newSecretProxy(), c.newSecretReceiver(), c.newSecretGitHubApp(),
	)
	return cmd
}

// secretCommand makes the command that makes a secret of some use.
func (c *creation) secretCommand(use, short, example string, build func(target) (*corev1.Secret, error)) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Args: wants(cobra.ExactArgs(1)), Short: short, Long: short + ".", Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target(cmd, args[0])
			if err != nil {
				return err
			}
			secret, err := build(t)
			if err != nil {
				return err
			}
			if err := c.label(secret); err != nil {
				return err
			}
			if c.export {
				return writeClean(cmd, secret)
			}
			cluster, err := c.app.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.app.limit)
			defer cancel()
			if _, err := upsert(ctx, cluster.Client, secret); err != nil {
				return err
			}
			t.say.Action("%s secret '%s' created in '%s' namespace", use, t.name, t.namespace)
			return nil
		},
	}
}

func newSecret(t target, data map[string]string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: t.meta(), StringData: data}
}

func (c *creation) newSecretGit() *cobra.Command {
	var with gitAccess
	address := ""
	cmd := c.secretCommand("git", "Create a secret for a Git repository", `  # with a new deploy key, which is printed
  peyk create secret git app --url ssh://git@git.example.org/app

  peyk create secret git app --url https://git.example.org/app --username git --password "$TOKEN"`, func(t target) (*corev1.Secret, error) {
		u, err := gitURL(address)
		if err != nil {
			return nil, err
		}
		if u.Scheme != "ssh" && !with.given() {
			return nil, usagef("give --username and --password, or --bearer-token")
		}
		with.silent = true
		return with.secret(t, u)
	})
	flags := cmd.Flags()
	flags.StringVar(&address, "url", "", "address of the repository, such as ssh://git@git.example.org/app")
	flags.StringVar(&with.bearer, "bearer-token", "", "token that is sent in place of user name and password")
	flags.StringVar(&with.caFile, "ca-crt-file", "", "file of the authority that signed the server's certificate")
	with.flags(flags)
	return cmd
}

func (c *creation) newSecretHelm() *cobra.Command {
	var with helmAccess
	cmd := c.secretCommand("helm", "Create a secret for a Helm repository", `  peyk create secret helm charts --username reader --password "$TOKEN"`, func(t target) (*corev1.Secret, error) {
		if !with.given() {
			return nil, usagef("give --username and --password, or the files of a certificate")
		}
		return with.secret(t)
	})
	flags := cmd.Flags()
	flags.StringVarP(&with.username, "username", "u", "", "user name")
	flags.StringVarP(&with.password, "password", "p", "", "password")
	with.tlsFlags(flags)
	return cmd
}

func (c *creation) newSecretTLS() *cobra.Command {
	var with helmAccess
	cmd := c.secretCommand("tls", "Create a secret with certificates", `  peyk create secret tls certs --tls-crt-file client.crt --tls-key-file client.key --ca-crt-file ca.crt`, func(t target) (*corev1.Secret, error) {
		if !with.given() {
			return nil, usagef("give --tls-crt-file with --tls-key-file, --ca-crt-file, or all of them")
		}
		return with.secret(t)
	})
	with.tlsFlags(cmd.Flags())
	return cmd
}

func (c *creation) newSecretOCI() *cobra.Command {
	var registry, username, password string
	cmd := c.secretCommand("oci", "Create an image pull secret for a registry", `  peyk create secret oci ghcr --url ghcr.io --username reader --password "$TOKEN"`, func(t target) (*corev1.Secret, error) {
		if registry == "" || username == "" || password == "" {
			return nil, usagef("give --url, --username and --password")
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(registry, "oci://"), "/")
		login := map[string]string{
			"username": username, "password": password, "auth": base64.StdEncoding.EncodeToString([]byte(username + ":" + password)),
		}
		config, err := json.Marshal(map[string]any{"auths": map[string]any{host: login}})
		if err != nil {
			return nil, fmt.Errorf("encoding the registry's login: %w", err)
		}
		secret := newSecret(t, map[string]string{corev1.DockerConfigJsonKey: string(config)})
		secret.Type = corev1.SecretTypeDockerConfigJson
		return secret, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&registry, "url", "", "address of the registry, such as ghcr.io/org/charts")
	flags.StringVarP(&username, "username", "u", "", "user name")
	flags.StringVarP(&password, "password", "p", "", "password")
	return cmd
}

func (c *creation) newSecretProxy() *cobra.Command {
	var address, username, password string
	cmd := c.secretCommand("proxy", "Create a secret with the address of a proxy", `  peyk create secret proxy proxy --address https://proxy.example.org:3128`, func(t target) (*corev1.Secret, error) {
		if address == "" {
			return nil, usagef("give --address, such as https://proxy.example.org:3128")
		}
		data := map[string]string{"address": address}
		if username != "" {
			data["username"], data["password"] = username, password
		}
		secret := newSecret(t, data)
		secret.Type = corev1.SecretTypeOpaque
		return secret, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&address, "address", "", "address of the proxy")
	flags.StringVarP(&username, "username", "u", "", "user name")
	flags.StringVarP(&password, "password", "p", "", "password")
	return cmd
}

func (c *creation) newSecretReceiver() *cobra.Command {
	var of, token, host, email, audience string
	cmd := c.secretCommand("receiver", "Create a secret with the token of a webhook", `  peyk create secret receiver webhook-token --type github --hostname peyk.example.org`, func(t target) (*corev1.Secret, error) {
		if of == "" || host == "" {
			return nil, usagef("give --type and --hostname: the name under which callers reach Peyk")
		}
		if of == notificationv1.GCRReceiver && email == "" {
			return nil, usagef("give --email-claim: callers of type gcr are known by it")
		}
		if token == "" {
			token = rand.Text() + rand.Text()
		}
		address := "https://" + host + (&notificationv1.Receiver{ObjectMeta: t.meta()}).GetWebhookPath(token)
		data := map[string]string{"token": token}
		if of == notificationv1.GCRReceiver {
			data["email"], data["audience"] = email, audience
			if audience == "" {
				data["audience"] = address
			}
		}
		secret := newSecret(t, data)
		secret.Annotations = map[string]string{"notification.toolkit.fluxcd.io/webhook": address}
		return secret, nil
	})
	flags := cmd.Flags()
	flags.StringVar(&of, "type", "", "type of the Receiver, such as github")
	flags.StringVar(&token, "token", "", "token that callers know (default: a new one)")
	flags.StringVar(&host, "hostname", "", "host name under which callers reach Peyk")
	flags.StringVar(&email, "email-claim", "", "service account that callers of type gcr have")
	flags.StringVar(&audience, "audience-claim", "", "audience of the tokens of callers of type gcr (default: the webhook's address)")
	return cmd
}

func (c *creation) newSecretGitHubApp() *cobra.Command {
	var id, owner, installation, keyFile, base string
	cmd := c.secretCommand("githubapp", "Create a secret with a GitHub App's key", `  peyk create secret githubapp app --app-id 1 --app-installation-id 2 --app-private-key app.pem`, func(t target) (*corev1.Secret, error) {
		if id == "" || keyFile == "" {
			return nil, usagef("give --app-id and --app-private-key")
		}
		key, err := os.ReadFile(keyFile) //nolint:gosec // the user names it
		if err != nil {
			return nil, fmt.Errorf("reading the key of the GitHub App: %w", err)
		}
		data := map[string]string{"githubAppID": id, "githubAppPrivateKey": string(key)}
		for name, value := range map[string]string{
			"githubAppInstallationOwner": owner, "githubAppInstallationID": installation, "githubAppBaseURL": base,
		} {
			if value != "" {
				data[name] = value
			}
		}
		return newSecret(t, data), nil
	})
	flags := cmd.Flags()
	flags.StringVar(&id, "app-id", "", "ID of the app")
	flags.StringVar(&owner, "app-installation-owner", "", "user or organization that it is installed for")
	flags.StringVar(&installation, "app-installation-id", "", "ID of the installation")
	flags.StringVar(&keyFile, "app-private-key", "", "file of its private key")
	flags.StringVar(&base, "app-base-url", "", "address of the API of a GitHub Enterprise server")
	return cmd
}
