package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
)

func (a *App) newPackGitStatus() *cobra.Command {
	var repository string
	format := "table"
	cmd := &cobra.Command{
		Use: "status", Short: "Show which Packs and files are connected, and which are not and why", Args: wants(cobra.NoArgs),
		Long: `Show the Packs of the namespace and the files of the repository: Synced where both are the same, Detached where the cluster
was changed and Git is not followed, Conflict where both changed, Unmapped where one is missing, Invalid where one cannot be
written. The message says what to do.`,
		Example: "  peyk pack git status -n shop\n  peyk pack git status -n shop -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format, "table", "json", "yaml"); err != nil {
				return err
			}
			return a.withSync(cmd, repository, func(_ context.Context, _ *Cluster, sync *peykv1.PackSync) error {
				return a.tellSync(cmd, format, sync)
			})
		},
	}
	repositoryFlag(cmd, &repository)
	cmd.Flags().StringVarP(&format, "output", "o", format, "table, json or yaml")
	return cmd
}

func (a *App) tellSync(cmd *cobra.Command, format string, sync *peykv1.PackSync) error {
	if format != "table" {
		packs := sync.Status.Packs
		if packs == nil {
			packs = []peykv1.SyncedPack{}
		}
		return writeValue(cmd.OutOrStdout(), format, packs)
	}
	rows := [][]string{{"PACK", "STATE", "PATH", "MESSAGE"}}
	for _, p := range sync.Status.Packs {
		name := p.Name
		if p.Namespace != "" && p.Namespace != sync.Namespace {
			name = p.Namespace + "/" + p.Name
		}
		rows = append(rows, []string{name, string(p.State), p.Path, p.Message})
	}
	say := newPrinter(cmd.ErrOrStderr(), a.plain)
	ready := readyOf(sync)
	switch {
	case sync.Spec.Suspend:
		say.Warning("PackSync %s is suspended", sync.Name)
	case ready == nil:
		say.Waiting("PackSync %s was not looked at yet", sync.Name)
	case ready.Status != "True":
		say.Failure("%s, %s: %s", sync.Spec.URL, sync.Status.Revision, ready.Message)
	default:
		say.Success("%s, %s: %s", sync.Spec.URL, sync.Status.Revision, ready.Message)
	}
	printTable(newPrinter(cmd.OutOrStdout(), a.plain), rows, true)
	return nil
}

// readyOf is the Ready condition, nil when there is none yet.
func readyOf(sync *peykv1.PackSync) *metav1.Condition {
	return apimeta.FindStatusCondition(sync.Status.Conditions, reconcile.Ready)
}

func (a *App) newPackGitLog() *cobra.Command {
	var repository string
	most, format := 20, "table"
	cmd := &cobra.Command{
		Use: "log", Short: "List the last commits of the connected branch, by whomever", Args: wants(cobra.NoArgs),
		Long:    "List the last commits of the connected branch, those of people and those of Peyk, as the operator saw them last.",
		Example: "  peyk pack git log -n shop\n  peyk pack git log -c 5 -n shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format, "table", "json", "yaml"); err != nil {
				return err
			}
			return a.withSync(cmd, repository, func(_ context.Context, _ *Cluster, sync *peykv1.PackSync) error {
				commits := sync.Status.Commits[:min(max(most, 0), len(sync.Status.Commits))]
				if format != "table" {
					return writeValue(cmd.OutOrStdout(), format, append([]peykv1.SyncCommit{}, commits...))
				}
				rows := [][]string{{"TITLE", "DATE", "AUTHOR", "FILES", "COMMIT"}}
				for _, c := range commits {
					files := ""
					if c.Files != nil {
						files = strconv.Itoa(*c.Files)
					}
					rows = append(rows, []string{c.Title, c.Time.UTC().Format(time.RFC3339), c.Author, files, c.Commit[:min(12, len(c.Commit))]})
				}
				printTable(newPrinter(cmd.OutOrStdout(), a.plain), rows, true)
				return nil
			})
		},
	}
	repositoryFlag(cmd, &repository)
	cmd.Flags().IntVarP(&most, "number", "c", most, fmt.Sprintf("how many, at most %d", most))
	cmd.Flags().StringVarP(&format, "output", "o", format, "table, json or yaml")
	return cmd
}
