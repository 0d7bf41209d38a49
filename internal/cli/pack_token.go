package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/install"
	"github.com/peyk/peyk/internal/pack/token"
)

// credential is what a pipeline needs to call the deploy webhook of a Pack.
type credential struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func (a *App) newPackToken() *cobra.Command {
	var address string
	var replace bool
	format := "text"
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for the deploy webhook of a Pack",
		Long: `Make a token for the deploy webhook of a Pack and print it with the webhook's URL, as the variables that a pipeline
needs. The token is shown this once: the cluster keeps only its hash. Tokens made before go on working, unless --replace
ends them.`,
		Example: `  peyk pack token sample-app -n base

  # what the pipeline then does
  curl -f -X POST -H "Authorization: Bearer $KUBIT_WEBHOOK_TOKEN" -F DOCKER_TAG=3bafc239 "$KUBIT_WEBHOOK_URL"`,
		Args: wants(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "text", "json", "yaml"); err != nil {
				return err
			}
			made, err := a.makeToken(cmd.Context(), args[0], address, replace)
			if err != nil {
				return err
			}
			if format != "text" {
				return writeValue(cmd.OutOrStdout(), format, made)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "KUBIT_WEBHOOK_URL=%s\nKUBIT_WEBHOOK_TOKEN=%s\n", made.URL, made.Token)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&address, "url", "", "where pipelines reach Peyk, such as https://peyk.example.org (default: the host of Peyk's Ingress, else its Service)")
	flags.BoolVar(&replace, "replace", false, "end all tokens made before")
	flags.StringVarP(&format, "output", "o", format, "text, json or yaml")
	return cmd
}

func (a *App) makeToken(ctx context.Context, name, address string, replace bool) (*credential, error) {
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.limit)
	defer cancel()
	var pack packv1.Pack
	err = cluster.Client.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: name}, &pack)
	if apierrors.IsNotFound(err) {
		return nil, notFoundError{fmt.Errorf("there is no Pack %q in the namespace %q", name, cluster.Namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading Pack %s: %w", name, err)
	}
	if address == "" {
		address = webhookAddress(ctx, cluster.Client)
	}
	create := token.Create
	if replace {
		create = token.Replace
	}
	secret, err := create(ctx, cluster.Client, &pack)
	if err != nil {
		return nil, err
	}
	return &credential{URL: strings.TrimSuffix(address, "/") + token.Path(&pack), Token: secret}, nil
}

// webhookAddress is where webhooks reach Peyk as far as the cluster tells: under the host of Peyk's Ingress, or inside
// the cluster alone. Whoever may not read the Ingress gets the latter.
func webhookAddress(ctx context.Context, c client.Client) string {
	var ingress networkingv1.Ingress
	err := c.Get(ctx, client.ObjectKey{Namespace: install.DefaultNamespace, Name: "peyk"}, &ingress)
	if err != nil || len(ingress.Spec.Rules) == 0 || ingress.Spec.Rules[0].Host == "" {
		return "http://peyk." + install.DefaultNamespace + ".svc"
	}
	scheme := "http://"
	if len(ingress.Spec.TLS) > 0 {
		scheme = "https://"
	}
	return scheme + ingress.Spec.Rules[0].Host
}
