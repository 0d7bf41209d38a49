package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newPackClearCache() *cobra.Command {
	return &cobra.Command{
		Use: "clear-cache", Short: "Have the repositories of charts read anew", Args: wants(cobra.NoArgs),
		Long: `Have the operator read the repositories of charts anew, those of the namespace and those of the whole cluster, instead of at
their next interval. Charts themselves are kept by the digest of their content, so one that changed under its version is fetched
again too.`,
		Example: "  peyk pack clear-cache -n base",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			return a.clearCache(ctx, cluster, newPrinter(cmd.OutOrStdout(), a.plain))
		},
	}
}

func (a *App) clearCache(ctx context.Context, cluster *Cluster, say *printer) error {
	r := &requester{client: cluster.Client, say: say, poll: a.poll()}
	asked, failed := 0, []error{}
	for _, k := range []kind{packRepositories(), clusterPackRepositories()} {
		q := query{kinds: []kind{k}}
		list, err := q.list(ctx, cluster, k)
		if apierrors.IsForbidden(err) {
			say.Warning("you may not list the objects of kind %s: they are left as they are", k.gvk.Kind)
			continue
		}
		if err != nil {
			return err
		}
		items, err := itemsOf(list)
		if err != nil {
			return err
		}
		for _, item := range items {
			object, err := getObject(ctx, cluster.Client, k, client.ObjectKeyFromObject(item))
			if err != nil {
				return err
			}
			if _, err := r.request(ctx, object); err != nil {
				failed = append(failed, fmt.Errorf("asking for %s %s: %w", k.gvk.Kind, item.GetName(), err))
				continue
			}
			asked++
			say.Success("%s %s is read anew", k.gvk.Kind, item.GetName())
		}
	}
	if asked == 0 && len(failed) == 0 {
		return notFoundError{errors.New("there is no repository of charts" + where(client.ObjectKey{Namespace: cluster.Namespace}))}
	}
	return errors.Join(failed...)
}
