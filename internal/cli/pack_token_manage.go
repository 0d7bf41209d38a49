package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack/token"
)

func (a *App) newPackTokenList() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use: "list NAME", Short: "List the tokens of a Pack's deploy webhook", Args: wants(cobra.ExactArgs(1)),
		Long: `List the tokens of a Pack's deploy webhook: who holds them, when they end, when they were used last (by the hour). The
tokens themselves cannot be shown: the cluster keeps only their hashes.`,
		Example: "  peyk pack token list sample-app -n base",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "text", "json", "yaml"); err != nil {
				return err
			}
			return a.withPack(cmd, args[0], func(ctx context.Context, cluster *Cluster, pack *packv1.Pack) error {
				tokens, err := token.List(ctx, cluster.Client, pack)
				if err != nil {
					return err
				}
				if format != "text" {
					return writeValue(cmd.OutOrStdout(), format, tokens)
				}
				rows := [][]string{{"ID", "NAME", "CREATED", "EXPIRES", "LAST USED", "VARS"}}
				for _, t := range tokens {
					rows = append(rows, []string{t.ID, t.Name, moment(t.Created), moment(t.Expires), moment(t.LastUsed), strings.Join(t.Vars, ",")})
				}
				printTable(newPrinter(cmd.OutOrStdout(), a.plain), rows, true)
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "text, json or yaml")
	return cmd
}

// moment is a time that may not be.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

func (a *App) newPackTokenRotate() *cobra.Command {
	var address string
	name, overlap, format := token.DefaultName, token.DefaultOverlap, "text"
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Make a new token in the place of one of a Pack's deploy webhook", Args: wants(cobra.ExactArgs(1)),
		Long: `Make a new token for whoever holds the one of that name, and print it like 'peyk pack token'. The old one works until the
overlap is over, so that the pipeline's variable can be changed without an interruption; 'peyk pack token list' shows its
end.`,
		Example: `  peyk pack token rotate sample-app -n base
  peyk pack token rotate sample-app -n base --name gitlab --overlap 1h`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if overlap < 0 {
				return usagef("--overlap %s: must not be negative", overlap)
			}
			return a.giveToken(cmd, args[0], address, format, func(ctx context.Context, c client.Client, pack *packv1.Pack) (string, error) {
				return token.Rotate(ctx, c, pack, name, overlap)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", name, "whose token")
	cmd.Flags().DurationVar(&overlap, "overlap", overlap, "how long the old token goes on working")
	tokenFlags(cmd, &address, &format)
	return cmd
}

func (a *App) newPackTokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME TOKEN", Short: "End tokens of a Pack's deploy webhook now", Args: wants(cobra.ExactArgs(2)),
		Long: "End the tokens with a name, or the one with an id, now. 'peyk pack token list' shows names and ids.",
		Example: `  peyk pack token revoke sample-app gitlab -n base
  peyk pack token revoke sample-app 3fb1c0de -n base`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPack(cmd, args[0], func(ctx context.Context, cluster *Cluster, pack *packv1.Pack) error {
				gone, err := token.Revoke(ctx, cluster.Client, pack, args[1])
				if err != nil {
					return ofToken(err)
				}
				for _, t := range gone {
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "token %s (%s) revoked\n", t.ID, t.Name); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
