package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
)

// resolution is how the user wants a Pack and its file to become the same.
type resolution struct{ take, prefer, message, author string }

func (r resolution) annotation() (string, error) {
	if r.prefer != "" && r.take != "merge" {
		return "", usageError{errors.New("--prefer is for --take merge")}
	}
	switch r.take + " " + r.prefer {
	case "git ":
		return peykv1.ResolveGit, nil
	case "cluster ":
		return peykv1.ResolveCluster, nil
	case "merge ":
		return peykv1.ResolveMerge, nil
	case "merge git":
		return peykv1.ResolveMergePreferGit, nil
	case "merge cluster":
		return peykv1.ResolveMergePreferCluster, nil
	}
	return "", usageError{errors.New("--take is git, cluster or merge; --prefer is git or cluster")}
}

func (r *resolution) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&r.message, "message", "m", "", "message of the commit (default: Update pack NAMESPACE/NAME)")
	cmd.Flags().StringVar(&r.author, "author", "", `author of the commit, as "Name <address>"`)
}

func (a *App) newPackGitResolve() *cobra.Command {
	var r resolution
	cmd := &cobra.Command{
		Use: "resolve PACK", Short: "Make a Pack and its file the same where both changed", Args: wants(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeNames(1, packs()),
		Long: `Make a Pack and its file the same where both changed, or where the Pack is detached: apply what Git has, commit what the
cluster has, or merge by field. Fields that both sides changed are listed by 'peyk pack git status'; a merge of those needs
--prefer.`,
		Example: "  peyk pack git resolve web --take git -n shop\n  peyk pack git resolve web --take merge --prefer cluster -n shop",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.resolvePack(cmd, args[0], r) },
	}
	cmd.Flags().StringVar(&r.take, "take", "", "git, cluster or merge")
	cmd.Flags().StringVar(&r.prefer, "prefer", "", "whose value to take of a field that both changed: git or cluster")
	_ = cmd.MarkFlagRequired("take")
	r.flags(cmd)
	return cmd
}

func (a *App) newPackGitCommit() *cobra.Command {
	r := resolution{take: "cluster"}
	cmd := &cobra.Command{
		Use: "commit PACK", Short: "Commit a Pack as it is in the cluster, and follow Git again", Args: wants(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeNames(1, packs()),
		Long:              "Commit a Pack as it is in the cluster to its file, and follow Git again if the Pack was detached.",
		Example:           "  peyk pack git commit web -m 'Two replicas for the sale' -n shop",
		RunE:              func(cmd *cobra.Command, args []string) error { return a.resolvePack(cmd, args[0], r) },
	}
	r.flags(cmd)
	return cmd
}

func (a *App) resolvePack(cmd *cobra.Command, name string, r resolution) error {
	way, err := r.annotation()
	if err != nil {
		return err
	}
	return a.withPack(cmd, name, func(ctx context.Context, cluster *Cluster, pack *packv1.Pack) error {
		if err := annotate(ctx, cluster.Client, pack, map[string]any{
			peykv1.ResolveAnnotation: way, peykv1.MessageAnnotation: orNull(r.message), peykv1.AuthorAnnotation: orNull(r.author),
		}); err != nil {
			return err
		}
		newPrinter(cmd.ErrOrStderr(), a.plain).Success("asked to resolve Pack %s (%s); 'peyk pack git status' shows what became of it", name, way)
		return nil
	})
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// annotate sets annotations of an object; nil removes one.
func annotate(ctx context.Context, c client.Client, obj client.Object, annotations map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("encoding the annotations: %w", err)
	}
	if err := c.Patch(ctx, obj, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("peyk-cli")); err != nil {
		return fmt.Errorf("annotating %s: %w", describe(client.ObjectKeyFromObject(obj)), err)
	}
	return nil
}
