package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// forKinds adds to parent one command for every kind that pick accepts; those of sources come under a command of
// their own, which short describes.
func (a *App) forKinds(parent *cobra.Command, short string, build func(kind) *cobra.Command, pick func(kind) bool) {
	source := group(&cobra.Command{
		Use: "source", Aliases: []string{"sources"}, Short: short, Long: short + ".",
		Example: "  peyk " + parent.Name() + " source git app",
	})
	for _, k := range allKinds() {
		switch {
		case !pick(k):
		case k.source:
			source.AddCommand(build(k))
		default:
			parent.AddCommand(build(k))
		}
	}
	if source.HasSubCommands() {
		parent.AddCommand(source)
	}
}

// completionLimit is how long a shell waits for the names of objects.
const completionLimit = 3 * time.Second

// completeNames completes names of objects of the kinds, for so many arguments at most. Zero: as many as are typed.
func (a *App) completeNames(most int, kinds ...kind) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		cluster, err := a.connect()
		if err != nil || most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
		defer cancel()
		var names []string
		for _, k := range kinds {
			q := query{kinds: kinds}
			list, err := q.list(ctx, cluster, k)
			if err != nil {
				continue
			}
			items, _ := itemsOf(list)
			for _, item := range items {
				if strings.HasPrefix(item.GetName(), typed) {
					names = append(names, item.GetName())
				}
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
