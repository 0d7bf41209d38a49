package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
)

func newCmdLogs(t *target) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:     "logs [COMPONENT]",
		Short:   "Print a component's log, or list the components",
		Example: "  sudo peyk-local logs\n  sudo peyk-local logs control-plane\n  sudo peyk-local logs node-1/kubelet --follow",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := t.dir()
			if err != nil {
				return err
			}
			if _, err := dir.Load(); err != nil {
				return err
			}
			components, err := logComponents(dir)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), strings.Join(components, "\n"))
				return nil
			}
			if !slices.Contains(components, args[0]) {
				return usageError{fmt.Errorf("no component %q: there are %s", args[0], strings.Join(components, ", "))}
			}
			return printLog(cmd, dir.Log(args[0]), follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing what is added")
	return cmd
}

func logComponents(dir cluster.Dir) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir.Logs(), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if name, ok := strings.CutSuffix(path, ".log"); ok && !d.IsDir() {
			rel, err := filepath.Rel(dir.Logs(), name)
			if err != nil {
				return err
			}
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing logs: %w", err)
	}
	return names, nil
}

func printLog(cmd *cobra.Command, path string, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer f.Close()
	for {
		if _, err := io.Copy(cmd.OutOrStdout(), f); err != nil {
			return fmt.Errorf("printing the log: %w", err)
		}
		if !follow {
			return nil
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
