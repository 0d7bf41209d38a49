package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	networkingv1 "k8s.io/api/networking/v1"
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
	var wish token.Wish
	format := "text"
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for the deploy webhook of a Pack",
		Long: `Make a token for the deploy webhook of a Pack and print it with the webhook's URL, as the variables that a pipeline
needs. The token is shown this once: the cluster keeps only its hash. Tokens made before go on working, unless --replace
ends them.`,
		Example: `  peyk pack token sample-app -n base

  # what the pipeline then does
  curl -f -X POST -H "Authorization: Bearer $KUBIT_WEBHOOK_TOKEN" -F DOCKER_TAG=3bafc239 "$KUBIT_WEBHOOK_URL"

  # a new token for the same pipeline: the old one works for a day more
  peyk pack token rotate sample-app -n base`,
		Args: wants(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wish.Lifetime < 0 {
				return usagef("--lifetime %s: must not be negative", wish.Lifetime)
			}
			create := token.Create
			if replace {
				create = token.Replace
			}
			return a.giveToken(cmd, args[0], address, format, func(ctx context.Context, c client.Client, pack *packv1.Pack) (string, error) {
				return create(ctx, c, pack, wish)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&replace, "replace", false, "end all tokens made before")
	flags.StringVar(&wish.Name, "name", token.DefaultName, "whoever is to hold the token, such as gitlab")
	flags.StringSliceVar(&wish.Vars, "vars", nil, "the only names that the token may set, separated by commas (default: all that the webhook may)")
	flags.DurationVar(&wish.Lifetime, "lifetime", 0, "how long the token is valid (default: until it is revoked)")
	tokenFlags(cmd, &address, &format)
	cmd.AddCommand(a.newPackTokenList(), a.newPackTokenRotate(), a.newPackTokenRevoke())
	return cmd
}

func tokenFlags(cmd *cobra.Command, address, format *string) {
	cmd.Flags().StringVar(address, "url", "", "where pipelines reach Peyk, such as https://peyk.example.org (default: the host of Peyk's Ingress, else its Service)")
	cmd.Flags().StringVarP(format, "output", "o", *format, "text, json or yaml")
}

// newToken makes a token of a Pack.
type newToken func(context.Context, client.Client, *packv1.Pack) (string, error)

// giveToken makes a token and prints it.
func (a *App) giveToken(cmd *cobra.Command, name, address, format string, create newToken) error {
	if err := checkFormat(format, "text", "json", "yaml"); err != nil {
		return err
	}
	return a.withPack(cmd, name, func(ctx context.Context, cluster *Cluster, pack *packv1.Pack) error {
		if address == "" {
			address = webhookAddress(ctx, cluster.Client)
		}
		secret, err := create(ctx, cluster.Client, pack)
		if err != nil {
			return ofToken(err)
		}
		made := &credential{URL: strings.TrimSuffix(address, "/") + token.Path(pack), Token: secret}
		if format != "text" {
			return writeValue(cmd.OutOrStdout(), format, made)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "KUBIT_WEBHOOK_URL=%s\nKUBIT_WEBHOOK_TOKEN=%s\n", made.URL, made.Token)
		return err
	})
}

// withPack finds a Pack and works on it, within the limit of time.
func (a *App) withPack(cmd *cobra.Command, name string, work func(context.Context, *Cluster, *packv1.Pack) error) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	pack, err := getPack(ctx, cluster, name)
	if err != nil {
		return err
	}
	return work(ctx, cluster, pack)
}

// ofToken gives the error about a token that is not there its exit code and its mend.
func ofToken(err error) error {
	if unknown, ok := errors.AsType[*token.UnknownError](err); ok {
		return notFoundError{fmt.Errorf("%w; 'peyk pack token list' shows those that it has", unknown)}
	}
	return err
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
