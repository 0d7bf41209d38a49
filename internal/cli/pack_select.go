package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// packSelection is which Packs a command works on: those that are named, or those of the namespace that a selector lets
// through.
type packSelection struct {
	selector  string
	all       bool
	noWait    bool
	unwaiting bool
}

// command completes a command that works on a selection of Packs, and calls run with what was found.
func (s *packSelection) command(a *App, cmd *cobra.Command, run func(context.Context, *Cluster, *printer, []packv1.Pack) error) *cobra.Command {
	cmd.ValidArgsFunction = a.completeNames(0, packs())
	flags := cmd.Flags()
	flags.StringVarP(&s.selector, "selector", "l", "", "the Packs with these labels, such as team=web")
	flags.BoolVar(&s.all, "all", false, "all Packs of the namespace")
	if !s.unwaiting {
		noWaitFlag(cmd, &s.noWait)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if given := btoi(len(args) > 0) + btoi(s.selector != "") + btoi(s.all); given != 1 {
			return usagef("say which Packs: NAMES, -l SELECTOR or --all, one of them")
		}
		cluster, err := a.connect()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
		defer cancel()
		found, err := s.find(ctx, cluster, args)
		if err != nil {
			return err
		}
		return run(ctx, cluster, newPrinter(cmd.OutOrStdout(), a.plain), found)
	}
	return cmd
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// find reads the Packs. One that is named and missing is an error, and so is finding none.
func (s *packSelection) find(ctx context.Context, cluster *Cluster, names []string) ([]packv1.Pack, error) {
	var found []packv1.Pack
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		pack, err := getPack(ctx, cluster, name)
		if err != nil {
			return nil, err
		}
		found = append(found, *pack)
	}
	if len(names) > 0 {
		return found, nil
	}
	selector, err := labels.Parse(s.selector)
	if err != nil {
		return nil, usagef("selector %q: %w", s.selector, err)
	}
	var list packv1.PackList
	if err := cluster.Client.List(ctx, &list, client.InNamespace(cluster.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing the Packs: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, notFoundError{errors.New("there is no such Pack" + where(client.ObjectKey{Namespace: cluster.Namespace}))}
	}
	return list.Items, nil
}

func getPack(ctx context.Context, cluster *Cluster, name string) (*packv1.Pack, error) {
	pack := &packv1.Pack{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: name}
	err := cluster.Client.Get(ctx, key, pack)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil, notFoundError{fmt.Errorf("there is no Pack %q%s", name, where(key))}
	}
	if err != nil {
		return nil, fmt.Errorf("reading Pack %s: %w", name, err)
	}
	return pack, nil
}

// awaitPacks waits until the passes that began as begun says have ended, and says what came of each.
func (a *App) awaitPacks(ctx context.Context, cluster *Cluster, say *printer, asked []packv1.Pack, begun func(*packv1.Pack, outcome) bool) error {
	r := &requester{client: cluster.Client, say: say, poll: a.poll()}
	var failed []error
	for i := range asked {
		key := client.ObjectKeyFromObject(&asked[i])
		say.Waiting("waiting for Pack %s", key.Name)
		result, err := r.await(ctx, packs(), key, func(o outcome) bool { return begun(&asked[i], o) })
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			failed = append(failed, fmt.Errorf("Pack %s is not ready in time (--timeout): %s", describe(key), late(result, begun(&asked[i], result))))
		case err != nil:
			failed = append(failed, err)
		case result.status != "True":
			failed = append(failed, fmt.Errorf("Pack %s is not ready: %s", describe(key), result.message))
		default:
			say.Success("Pack %s is ready: %s", key.Name, result.message)
		}
	}
	return errors.Join(failed...)
}

// late says why a Pack was waited for in vain.
func late(o outcome, begun bool) string {
	if o.object == nil || !begun {
		return "Peyk has not acted on it: check that it runs with 'kubectl -n peyk-system get pods'"
	}
	return o.message
}
