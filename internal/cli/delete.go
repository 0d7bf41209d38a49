package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newDelete() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "delete",
		Short: "Delete an object that Peyk works on",
		Long: `Delete an object that Peyk works on. A Kustomization with spec.prune takes what it applied with it, and a HelmRelease its
release, unless they are suspended. What is in a Git repository comes back with its next reconciliation.`,
		Example: `  peyk delete kustomization apps

  # without being asked
  peyk delete source git app --silent`,
	})
	a.forKinds(cmd, "Delete a source", a.newDeleteKind, func(k kind) bool { return k.word != "external" })
	return cmd
}

func (a *App) newDeleteKind(k kind) *cobra.Command {
	silent := false
	cmd := &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Args: wants(cobra.ExactArgs(1)), ValidArgsFunction: a.completeNames(1, k),
		Short:   "Delete a " + k.gvk.Kind,
		Long:    "Delete the " + k.gvk.Kind + " of that name, after asking whether that is meant.",
		Example: "  peyk delete " + k.path() + " app --silent",
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			key := k.key(cluster.Namespace, args[0])
			object, err := getObject(ctx, cluster.Client, k, key)
			if err != nil {
				return err
			}
			if !silent {
				if err := confirm(cmd, fmt.Sprintf("Delete %s %s", k.human(), describe(key))); err != nil {
					return err
				}
			}
			say := newPrinter(cmd.OutOrStdout(), a.plain)
			say.Action("deleting %s %s%s", k.human(), key.Name, inNamespace(key))
			if err := cluster.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("deleting %s %s: %w", k.gvk.Kind, describe(key), err)
			}
			say.Success("%s deleted", k.human())
			return nil
		},
	}
	cmd.Flags().BoolVarP(&silent, "silent", "s", false, "do not ask")
	return cmd
}

// confirm asks a question of yes or no, and returns an error unless the answer is yes.
func confirm(cmd *cobra.Command, question string) error {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s? [y/N] ", question)
	answers := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-cmd.Context().Done():
		return context.Canceled
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
		return errors.New("nothing was done: answer y, or give --silent")
	}
}
