package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// query is what a get command asks for.
type query struct {
	kinds    []kind
	name     string
	all      bool
	watch    bool
	bare     bool
	madeFrom bool
	selector string
	status   string
	format   string
}

func (a *App) newGet() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "get",
		Short: "List Packs, Kustomizations, HelmReleases, sources and the rest",
		Long:  "List the objects that Peyk works on, with their revision, whether they are ready, and what is wrong if they are not.",
		Example: `  # everything in every namespace
  peyk get all -A

  # what is not ready
  peyk get all -A --status-selector ready!=true

  # follow the Packs of a namespace
  peyk get packs -n base --watch`,
	})
	parent := a.newGetKinds("sources", []string{"source"}, "List the sources", sources()...)
	parent.AddCommand(a.newGetKinds("all", nil, "List the sources of every kind", sources()...))
	for _, k := range allKinds() {
		if k.source {
			parent.AddCommand(a.newGetKinds(k.plural, nil, "List the "+k.gvk.Kind+" sources", k))
			continue
		}
		if k.gvk.Kind == packv1.PackRepositoryKind || k.gvk.Kind == packv1.ClusterPackRepositoryKind {
			continue
		}
		cmd.AddCommand(a.newGetKinds(k.plural, append([]string{k.word}, k.aliases...), "List the objects of kind "+k.gvk.Kind, k))
	}
	all := slices.Concat(sources(), appliers(), notifications(), []kind{packs(), packSyncs(), secretReflectors()})
	cmd.AddCommand(
		parent,
		a.newGetKinds("all", nil, "List the objects of every kind", all...),
		a.newGetKinds("repositories", []string{"repository"}, "List the repositories of charts", clusterPackRepositories(), packRepositories()),
	)
	return cmd
}

func (a *App) newGetKinds(use string, aliases []string, short string, kinds ...kind) *cobra.Command {
	q := query{kinds: kinds, format: "table"}
	cmd := &cobra.Command{
		Use: use + " [NAME]", Aliases: aliases, Short: short,
		Long: short + ". With a name, only the object of that name; it is an error if there is none.",
		Example: fmt.Sprintf(`  peyk get %[1]s -A
  peyk get %[1]s -o yaml`, getPath(use, kinds)),
		Args: wants(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completeNames(1, kinds...),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				q.name = args[0]
			}
			return a.get(cmd, q)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&q.all, "all-namespaces", "A", false, "of every namespace")
	flags.BoolVarP(&q.watch, "watch", "w", false, "go on and print what changes")
	flags.StringVarP(&q.selector, "label-selector", "l", "", "only with these labels, such as app=web (also --selector)")
	flags.StringVar(&q.status, "status-selector", "", "only with this status of a condition, such as ready=false or ready!=true")
	flags.BoolVar(&q.bare, "no-header", false, "print no header")
	flags.StringVarP(&q.format, "output", "o", q.format, "table, json or yaml")
	if slices.ContainsFunc(kinds, func(k kind) bool { return k.madeFrom != nil }) {
		flags.BoolVar(&q.madeFrom, "show-source", false, "print what each object is made from")
	}
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "selector" {
			name = "label-selector"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

// getPath is what follows get in the name of a command.
func getPath(use string, kinds []kind) string {
	if len(kinds) == 1 && kinds[0].source {
		return "sources " + use
	}
	return use
}

func (a *App) get(cmd *cobra.Command, q query) error {
	if err := q.check(); err != nil {
		return err
	}
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	if q.watch {
		return q.follow(cmd.Context(), cluster, say)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	found, err := q.lists(ctx, cluster)
	if err != nil {
		return err
	}
	var objects []client.Object
	for i := range found {
		items, err := itemsOf(found[i])
		if err != nil {
			return err
		}
		objects = append(objects, items...)
	}
	if len(objects) == 0 && q.name != "" {
		return notFoundError{fmt.Errorf("there is no %s %q%s", q.kinds[0].gvk.Kind, q.name, q.where(cluster))}
	}
	if q.format != "table" {
		return writeObjects(cmd.OutOrStdout(), q.format, objects, cluster.Client.Scheme(), q.name != "")
	}
	if len(objects) == 0 {
		newPrinter(cmd.ErrOrStderr(), a.plain).Failure("no %s found%s", q.names(), q.where(cluster))
		return nil
	}
	return q.print(say, found)
}

func (q query) check() error {
	if err := checkFormat(q.format, "table", "json", "yaml"); err != nil {
		return err
	}
	if _, err := labels.Parse(q.selector); err != nil {
		return usagef("selector %q: %w", q.selector, err)
	}
	if _, _, _, err := q.condition(); err != nil {
		return err
	}
	if q.watch && len(q.kinds) > 1 {
		return usagef("--watch follows one kind: name it, as in 'peyk get packs --watch'")
	}
	if q.watch && q.format != "table" {
		return usagef("--watch prints a table: leave --output out")
	}
	if q.all && q.name != "" {
		return usagef("a name is looked up in one namespace: leave --all-namespaces out")
	}
	return nil
}

// lists asks the cluster for the objects of all kinds. One that the cluster does not serve has no objects, as long as it serves
// another.
func (q query) lists(ctx context.Context, cluster *Cluster) ([]client.ObjectList, error) {
	found := make([]client.ObjectList, len(q.kinds))
	unknown := 0
	for i, k := range q.kinds {
		list, err := q.list(ctx, cluster, k)
		if unknownKind(err) {
			list = k.list()
			unknown++
		}
		if err != nil && (!unknownKind(err) || unknown == len(q.kinds)) {
			return nil, err
		}
		found[i] = list
	}
	return found, nil
}

// list asks the cluster for the objects of one kind.
func (q query) list(ctx context.Context, cluster *Cluster, k kind) (client.ObjectList, error) {
	list := k.list()
	err := cluster.Client.List(ctx, list, q.options(cluster, k)...)
	if err != nil {
		return nil, fmt.Errorf("listing the objects of kind %s: %w", k.gvk.Kind, err)
	}
	return list, q.keep(k, list)
}

func (q query) options(cluster *Cluster, k kind) []client.ListOption {
	var options []client.ListOption
	if !q.all && !k.cluster {
		options = append(options, client.InNamespace(cluster.Namespace))
	}
	if selector, err := labels.Parse(q.selector); err == nil && q.selector != "" {
		options = append(options, client.MatchingLabelsSelector{Selector: selector})
	}
	return options
}

// keep drops what has another name or another status than the ones asked for.
func (q query) keep(k kind, list client.ObjectList) error {
	if q.name == "" && q.status == "" {
		return nil
	}
	items, err := itemsOf(list)
	if err != nil {
		return err
	}
	var kept []runtime.Object
	for _, item := range items {
		if q.wants(k, item) {
			kept = append(kept, item)
		}
	}
	return meta.SetList(list, kept)
}

// wants says whether an object has the name and the status that are asked for.
func (q query) wants(k kind, object client.Object) bool {
	if q.name != "" && object.GetName() != q.name {
		return false
	}
	if q.status == "" {
		return true
	}
	condition, status, not, err := q.condition()
	return err == nil && k.meets(object, condition, status) != not
}

// condition reads the value of --status-selector.
func (q query) condition() (condition, status string, not bool, err error) {
	if q.status == "" {
		return "", "", false, nil
	}
	if condition, status, not = strings.Cut(q.status, "!="); not {
		return condition, status, true, nil
	}
	condition, status, found := strings.Cut(q.status, "=")
	if !found {
		return "", "", false, usagef("status selector %q: write TYPE=STATUS or TYPE!=STATUS, such as ready=false", q.status)
	}
	return condition, status, false, nil
}

// columns are which columns the tables have.
func (q query) columns() format {
	return format{namespaces: q.all, prefix: len(q.kinds) > 1, madeFrom: q.madeFrom}
}

// print writes one table for each kind that has objects.
func (q query) print(say *printer, found []client.ObjectList) error {
	printed := false
	for i, k := range q.kinds {
		items, err := itemsOf(found[i])
		if err != nil {
			return err
		}
		if len(items) == 0 {
			continue
		}
		if printed {
			_, _ = io.WriteString(say.out, "\n")
		}
		printed = true
		rows := [][]string{k.header(q.columns())}
		for _, item := range items {
			rows = append(rows, k.row(item, q.columns()))
		}
		printTable(say, rows, !q.bare)
	}
	return nil
}

func (q query) names() string {
	if len(q.kinds) > 1 {
		return "objects"
	}
	return q.kinds[0].gvk.Kind + " objects"
}

func (q query) where(cluster *Cluster) string {
	if q.all || (len(q.kinds) == 1 && q.kinds[0].cluster) {
		return " in any namespace"
	}
	return fmt.Sprintf(" in the namespace %q", strings.TrimSpace(cluster.Namespace))
}

func itemsOf(list client.ObjectList) ([]client.Object, error) {
	all, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("reading the list: %w", err)
	}
	items := make([]client.Object, 0, len(all))
	for _, item := range all {
		if object, ok := item.(client.Object); ok {
			items = append(items, object)
		}
	}
	return items, nil
}
