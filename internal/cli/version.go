package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *App) newVersion() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Long:  "Print the version of this binary, of the Go release that built it, and the platform.",
		Example: `  peyk version
  peyk version -o json`,
		Args: wants(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format, "text", "json", "yaml"); err != nil {
				return err
			}
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if format == "text" {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "peyk %s %s %s\n", a.Version, runtime.Version(), platform)
				return err
			}
			return writeValue(cmd.OutOrStdout(), format, map[string]string{
				"version": a.Version, "go": runtime.Version(), "platform": platform,
			})
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "text, json or yaml")
	return cmd
}
