package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/diff"
)

// errDiffers makes the exit code 1, as that of diff.
var errDiffers = errors.New("identified at least one change, exiting with non-zero exit code")

// diffExits says what the exit codes of comparisons are.
const diffExits = "The exit code is 0 when nothing would change, 1 when something would, and 2 or more when that cannot be told."

func (a *App) newDiff() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "diff", Short: "Show what would change in the cluster",
		Long: `Show what would change in the cluster, object by object and field by field. The API server says it by dry run, so
defaults and admission count; nothing is changed.

` + diffExits,
		Example: `  # before you commit
  peyk diff kustomization apps --path ./clusters/prod`,
	})
	cmd.AddCommand(
		a.newDiffKustomization(),
		a.newDiffRelease(helmReleases(), apply.HelmReleases.Manager),
		a.newDiffRelease(packs(), apply.Packs.Manager),
	)
	return cmd
}

func (a *App) newDiffKustomization() *cobra.Command {
	var b localBuild
	progress := true
	cmd := &cobra.Command{
		Use: "kustomization NAME", Aliases: []string{"ks"}, Args: wants(cobra.ExactArgs(1)),
		Short: "Show what a Kustomization would change if files of this machine were committed",
		Long: `Build a Kustomization from files of this machine, and show what applying that would create, change and delete. Values of
Secrets are hidden.

` + diffExits,
		Example: `  peyk diff kustomization apps --path ./clusters/prod

  # with the Kustomizations that it applies
  peyk diff kustomization apps --path ./clusters/prod --recursive --local-sources GitRepository/flux-system/flux-system=.

  # without some of the files
  peyk diff kustomization apps --path ./clusters/prod --ignore-paths "/drafts/**/*.yaml,notes.yaml"`,
		ValidArgsFunction: a.completeNames(1, kustomizations()),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := b.check(); err != nil {
				return err
			}
			return asTrouble(a.diffKustomization(cmd, &b, args[0], progress))
		},
	}
	b.flags(cmd)
	cmd.Flags().BoolVar(&progress, "progress-bar", true, "say on a terminal what is being done")
	cmd.Flags().BoolVar(&b.missing, "ignore-not-found", false, "the Kustomization may be missing in the cluster")
	return cmd
}

func (a *App) diffKustomization(cmd *cobra.Command, b *localBuild, name string, progress bool) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	k, err := b.kustomization(ctx, cluster.Client, client.ObjectKey{Namespace: cluster.Namespace, Name: name})
	if err != nil {
		return err
	}
	d := a.newDifferences(cmd, cluster.Client, apply.Kustomizations.Manager, progress)
	if err := d.kustomization(ctx, b, k, b.path); err != nil {
		return err
	}
	return d.finish()
}

// differences tells what would change, and remembers whether anything would.
type differences struct {
	differ   *diff.Differ
	out      io.Writer
	say      *printer
	progress func(string, ...any)
	found    bool
	failed   []error
}

func (a *App) newDifferences(cmd *cobra.Command, c client.Client, manager string, progress bool) *differences {
	d := &differences{
		differ: &diff.Differ{Client: c, Manager: manager}, out: cmd.OutOrStdout(), say: newPrinter(cmd.OutOrStdout(), a.plain),
		progress: func(string, ...any) {},
	}
	if progress && isTerminal(cmd.ErrOrStderr()) {
		d.progress = newPrinter(cmd.ErrOrStderr(), a.plain).Waiting
	}
	return d
}

func (d *differences) finish() error {
	if len(d.failed) > 0 {
		return errors.Join(d.failed...)
	}
	if d.found {
		return errDiffers
	}
	return nil
}

// kustomization builds and compares one Kustomization, and on request those that it holds.
func (d *differences) kustomization(ctx context.Context, b *localBuild, k *ksv1.Kustomization, folder string) error {
	d.progress("building Kustomization %s", k.Name)
	objects, err := b.objects(ctx, d.differ.Client, k, folder)
	if err != nil {
		return err
	}
	d.progress("comparing %d objects", len(objects))
	kept := map[apply.ObjectID]bool{}
	for _, object := range objects {
		d.place(object)
		kept[apply.IDOf(object)] = true
		change, ok := d.compare(ctx, object)
		if !ok || !b.recursive || change.Action == diff.Created {
			continue
		}
		inner, below, err := b.nested(object, client.ObjectKeyFromObject(k))
		if err != nil {
			return err
		}
		if inner == nil {
			continue
		}
		if err := d.kustomization(ctx, b, inner, below); err != nil {
			return err
		}
	}
	if k.Spec.Prune && len(d.failed) == 0 && k.Status.Inventory != nil {
		return d.pruned(k.Status.Inventory.Entries, kept)
	}
	return nil
}

// place sees to it that an object has a namespace only if its kind lives in namespaces.
func (d *differences) place(object *unstructured.Unstructured) {
	gvk := object.GroupVersionKind()
	mapping, err := d.differ.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err == nil && mapping.Scope.Name() == meta.RESTScopeNameRoot {
		object.SetNamespace("")
	}
}

// compare tells what happens to one object. Failures are kept, so that the others are compared too.
func (d *differences) compare(ctx context.Context, object *unstructured.Unstructured) (diff.Change, bool) {
	change, err := d.differ.Compare(ctx, object)
	if err == nil && change.Action != diff.Unchanged {
		d.found = d.found || change.Action != diff.Skipped
		d.say.Action("%s %s", change.Subject, change.Action)
		err = change.Write(d.out)
	}
	if err != nil {
		d.failed = append(d.failed, err)
	}
	return change, err == nil
}

// pruned tells what left the source.
func (d *differences) pruned(entries []ksv1.ResourceRef, kept map[apply.ObjectID]bool) error {
	var gone []apply.ObjectID
	for _, entry := range entries {
		id, err := apply.ParseInventoryID(entry.ID)
		if err != nil {
			return fmt.Errorf("reading the inventory: %w", err)
		}
		if !kept[id] {
			gone = append(gone, id)
		}
	}
	slices.SortStableFunc(gone, func(a, b apply.ObjectID) int { return compareIDs(a, b) })
	for _, id := range gone {
		d.found = true
		d.say.Action("%s %s", id, diff.Deleted)
	}
	return nil
}

func compareIDs(a, b apply.ObjectID) int {
	switch {
	case a.String() < b.String():
		return -1
	case a.String() > b.String():
		return 1
	}
	return 0
}
