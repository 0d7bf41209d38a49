package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
)

func (a *App) newPackGit() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "git", Short: "Connect Packs with a Git repository, in both directions",
		Long: `Connect Packs with a Git repository, in both directions: what changes in Git is applied, and what is changed in the
cluster is committed, or detaches the Pack. A PackSync holds the connection.`,
		Example: `  peyk pack git add shop --url https://git.example.org/shop/deploy.git --secret git-token -n shop
  peyk pack git connect web --path packs/shop/web.pack.yaml -n shop
  peyk pack git status -n shop

  # both sides changed
  peyk pack git resolve web --take merge -n shop`,
	})
	cmd.AddCommand(
		a.newPackGitAdd(), a.newPackGitRemove(), a.newPackGitStatus(), a.newPackGitLog(), a.newPackGitWebhook(),
		a.newPackGitConnect(), a.newPackGitDisconnect(), a.newPackGitCommit(), a.newPackGitResolve(),
	)
	return cmd
}

// withSync finds a PackSync of the namespace and works on it, within the limit of time. Without a name it is the only one.
func (a *App) withSync(cmd *cobra.Command, name string, work func(context.Context, *Cluster, *peykv1.PackSync) error) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	var all peykv1.PackSyncList
	if err := cluster.Client.List(ctx, &all, client.InNamespace(cluster.Namespace)); err != nil {
		return fmt.Errorf("listing PackSyncs: %w", err)
	}
	var names []string
	for i := range all.Items {
		if all.Items[i].Name == name || name == "" && len(all.Items) == 1 {
			return work(ctx, cluster, &all.Items[i])
		}
		names = append(names, all.Items[i].Name)
	}
	switch {
	case name != "":
		return notFoundError{fmt.Errorf("there is no PackSync %q in the namespace %q", name, cluster.Namespace)}
	case len(names) == 0:
		return notFoundError{fmt.Errorf("no repository is connected in the namespace %q: 'peyk pack git add' connects one", cluster.Namespace)}
	}
	return usageError{fmt.Errorf("several repositories are connected in the namespace %q: choose one with --repository (%s)", cluster.Namespace, strings.Join(names, ", "))}
}

func repositoryFlag(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVar(name, "repository", "", "the PackSync, where the namespace has several")
}

func (a *App) newPackGitAdd() *cobra.Command {
	var branch, secret, changes string
	var noWait bool
	obj := &peykv1.PackSync{}
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Connect a repository with the namespace", Args: wants(cobra.ExactArgs(1)),
		Long: `Connect a repository with the namespace, and wait for the first look at it. Packs and files of the same name that are the
same are connected at once; those that differ wait for 'peyk pack git resolve'.`,
		Example: "  kubectl create secret generic git-token --from-literal=token=... -n shop\n  peyk pack git add shop --url https://git.example.org/shop/deploy.git --secret git-token --create -n shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(changes, "Commit", "Detach"); err != nil {
				return err
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			obj.Namespace, obj.Name, obj.Spec.ClusterChanges = cluster.Namespace, args[0], peykv1.ClusterChanges(changes)
			if branch != "" {
				obj.Spec.Ref = &peykv1.PackSyncRef{Branch: branch}
			}
			if secret != "" {
				obj.Spec.SecretRef = &peykv1.LocalRef{Name: secret}
			}
			if err := cluster.Client.Create(ctx, obj, client.FieldOwner("peyk-cli")); err != nil {
				return fmt.Errorf("creating PackSync %s: %w", obj.Name, err)
			}
			say := newPrinter(cmd.ErrOrStderr(), a.plain)
			say.Success("PackSync %s created; 'peyk pack git status' shows what it finds", obj.Name)
			if noWait {
				return nil
			}
			return a.awaitConnection(ctx, cluster, say, obj)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&obj.Spec.URL, "url", "", "address of the repository")
	flags.StringVar(&branch, "branch", "", "branch to read and to write (default: the repository's own)")
	flags.StringVar(&secret, "secret", "", "Secret with token, or username and password, or identity and known_hosts")
	flags.StringSliceVar(&obj.Spec.Paths, "paths", nil, "folders to look for Packs in (default: every *.pack.yaml)")
	flags.BoolVar(&obj.Spec.Create, "create", false, "make the Packs of files that have none")
	flags.BoolVar(&obj.Spec.Prune, "prune", false, "delete Packs made from files when their files go")
	flags.StringVar(&changes, "cluster-changes", "Commit", "what becomes of changes in the cluster: Commit or Detach")
	noWaitFlag(cmd, &noWait)
	_ = cmd.MarkFlagRequired("url")
	return cmd
}

func (a *App) newPackGitRemove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "End the connection with a repository; Packs and files stay", Args: wants(cobra.ExactArgs(1)),
		Long: `End the connection with a repository, after asking whether that is meant: the PackSync is deleted, and its webhook with it.
Packs and files stay as they are, and neither follows the other any more. Where the webhook is set in the Git server, remove
it there.`,
		Example: "  peyk pack git remove shop -n shop\n  peyk pack git remove shop --yes -n shop", ValidArgsFunction: a.completeNames(1, packSyncs()),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usagef("name a PackSync: 'peyk get packsyncs' lists them")
			}
			return a.withSync(cmd, args[0], func(ctx context.Context, cluster *Cluster, sync *peykv1.PackSync) error {
				if !yes {
					question := fmt.Sprintf("Disconnect %s from %d Packs and files, which stay", sync.Spec.URL, len(sync.Status.Packs))
					if err := confirm(cmd, question); err != nil {
						return errors.New(strings.ReplaceAll(err.Error(), "--silent", "--yes"))
					}
				}
				if err := cluster.Client.Delete(ctx, sync); client.IgnoreNotFound(err) != nil {
					return fmt.Errorf("deleting PackSync %s: %w", sync.Name, err)
				}
				newPrinter(cmd.ErrOrStderr(), a.plain).Success("PackSync %s deleted; its Packs and files stay", sync.Name)
				return nil
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *App) newPackGitConnect() *cobra.Command {
	var path, repository string
	var noWait bool
	cmd := &cobra.Command{
		Use: "connect PACK", Short: "Connect a Pack with a file, and write the file where there is none", Args: wants(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeNames(1, packs()),
		Long: `Connect a Pack with a file of the repository. Where there is no file it is committed, with what the Pack is now. Where there
is one that differs, the two wait for 'peyk pack git resolve'.`,
		Example: "  peyk pack git connect web --path packs/shop/web.pack.yaml -n shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.mapPack(cmd, repository, peykv1.PackMapping{Pack: args[0], Path: path}, noWait)
		},
	}
	cmd.Flags().StringVar(&path, "path", "", "the file from the root of the repository")
	_ = cmd.MarkFlagRequired("path")
	noWaitFlag(cmd, &noWait)
	repositoryFlag(cmd, &repository)
	return cmd
}

func (a *App) newPackGitDisconnect() *cobra.Command {
	var repository string
	var noWait bool
	cmd := &cobra.Command{
		Use: "disconnect PACK", Short: "Keep a Pack and its file apart; both stay as they are", Args: wants(cobra.ExactArgs(1)),
		Long:              "Keep a Pack and its file apart: neither follows the other until 'peyk pack git connect'. Both stay as they are.",
		Example:           "  peyk pack git disconnect web -n shop",
		ValidArgsFunction: a.completeNames(1, packs()),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.mapPack(cmd, repository, peykv1.PackMapping{Pack: args[0], Disconnected: true}, noWait)
		},
	}
	noWaitFlag(cmd, &noWait)
	repositoryFlag(cmd, &repository)
	return cmd
}

// mapPack puts a mapping into a PackSync, in the place of the Pack's old one.
func (a *App) mapPack(cmd *cobra.Command, repository string, m peykv1.PackMapping, noWait bool) error {
	return a.withSync(cmd, repository, func(ctx context.Context, cluster *Cluster, sync *peykv1.PackSync) error {
		before := sync.DeepCopy()
		kept := sync.Spec.Mappings[:0:0]
		for _, old := range sync.Spec.Mappings {
			if old.Pack != m.Pack {
				kept = append(kept, old)
			}
		}
		sync.Spec.Mappings = append(kept, m)
		// The list is replaced as a whole: nobody may have changed it meanwhile.
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := cluster.Client.Patch(ctx, sync, patch, client.FieldOwner("peyk-cli")); err != nil {
			return fmt.Errorf("changing spec.mappings of PackSync %s: %w", sync.Name, err)
		}
		say := newPrinter(cmd.ErrOrStderr(), a.plain)
		if m.Disconnected {
			say.Success("Pack %s disconnected", m.Pack)
		} else {
			say.Success("Pack %s connected with %s", m.Pack, m.Path)
		}
		if noWait {
			return nil
		}
		return a.awaitMapping(ctx, cluster, say, sync, m)
	})
}

func (a *App) newPackGitWebhook() *cobra.Command {
	var repository, address string
	var extend bool
	cmd := &cobra.Command{
		Use: "webhook", Short: "Show the address that the Git server calls after a push, or extend it", Args: wants(cobra.NoArgs),
		Long: `Show the address that the Git server calls after a push: set it there for push events. Who knows it can ask for a look at
the repository, and nothing else. A new address is made before it expires, and the old one works until then.`,
		Example: "  peyk pack git webhook -n shop\n  peyk pack git webhook --extend -n shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSync(cmd, repository, func(ctx context.Context, cluster *Cluster, sync *peykv1.PackSync) error {
				if extend {
					return a.extendWebhook(ctx, cmd, cluster, sync)
				}
				w := sync.Status.Webhook
				if w == nil {
					return errors.New("the PackSync has no webhook yet: try again in a moment, or see its Ready condition with 'peyk pack git status'")
				}
				if address == "" {
					address = webhookAddress(ctx, cluster.Client)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s%s\nexpires %s\n", strings.TrimSuffix(address, "/"), w.Path, w.Expires.UTC().Format(time.RFC3339))
				return err
			})
		},
	}
	repositoryFlag(cmd, &repository)
	cmd.Flags().StringVar(&address, "url", "", "where the Git server reaches Peyk (default: the host of Peyk's Ingress, else its Service)")
	cmd.Flags().BoolVar(&extend, "extend", false, "make the address valid for the whole time again, from now on")
	return cmd
}

func (a *App) extendWebhook(ctx context.Context, cmd *cobra.Command, cluster *Cluster, sync *peykv1.PackSync) error {
	if err := annotate(ctx, cluster.Client, sync, map[string]any{peykv1.ExtendWebhookAnnotation: time.Now().UTC().Format(time.RFC3339Nano)}); err != nil {
		return err
	}
	newPrinter(cmd.ErrOrStderr(), a.plain).Success("the webhook of PackSync %s is extended", sync.Name)
	return nil
}
