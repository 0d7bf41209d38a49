package cli

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/node"
	"github.com/peyk/peyk/local/internal/process"
	"github.com/peyk/peyk/local/internal/supervisor"
)

// newCmdSupervise is the process behind a running cluster; `up` starts it.
func newCmdSupervise() *cobra.Command {
	return &cobra.Command{
		Use:     "supervise",
		Short:   "Run a cluster in the foreground, as up prepared it",
		Example: "  peyk-local supervise --state-dir /var/lib/peyk-local/peyk",
		Args:    noArgs,
		Hidden:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := cmd.Flags().GetString("state-dir")
			if err != nil || dir == "" {
				return usageError{fmt.Errorf("--state-dir is required")}
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
			return supervisor.Run(cmd.Context(), cluster.Dir(dir), log)
		},
	}
}

// newCmdNode is the first process of a node; the supervisor starts it.
func newCmdNode() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:     "node",
		Short:   "Be the first process of a node",
		Example: "  peyk-local node --config node.json",
		Args:    noArgs,
		Hidden:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			process.ExitWithParent()
			c, err := node.Load(config)
			if err != nil {
				return err
			}
			return node.Run(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "path of the node's configuration")
	return cmd
}
