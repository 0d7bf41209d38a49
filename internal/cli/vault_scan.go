package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/vault"
)

func (a *App) newVaultScan() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use: "scan [PATH...]", Short: "Find secrets that stand in plain text in files",
		Long: `Look through files and folders (default: this one) for secrets in plain text: values of Secrets, values under names such as
password or token, passwords in addresses, private keys, tokens of well-known services, and texts that look random. The exit code is 1
when there are any.

What is none, or is meant to be there, is allowed by '` + vault.AllowMark + `' in a comment in its line or in the line above, or by a
pattern of its file in ` + vault.IgnoreFile + `, which is written like .gitignore. What .gitignore leaves out is not looked at.`,
		Example: `  peyk vault scan

  # in a pipeline
  peyk vault scan -o json ./deploy`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "text", "json", "yaml"); err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			return a.scan(cmd, args, format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "text, json or yaml")
	return cmd
}

func (a *App) scan(cmd *cobra.Command, roots []string, format string) error {
	found, files := []vault.Finding{}, 0
	for _, root := range roots {
		findings, n, err := vault.ScanTree(root)
		if err != nil {
			return err
		}
		files += n
		found = append(found, findings...)
	}
	if format != "text" {
		if err := writeValue(cmd.OutOrStdout(), format, found); err != nil {
			return err
		}
	}
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	if len(found) == 0 {
		if format == "text" {
			say.Success("no secrets in plain text in %d files", files)
		}
		return nil
	}
	if format == "text" {
		for _, f := range found {
			say.Failure("%s", f)
		}
	}
	return fmt.Errorf("%d secrets in plain text: encrypt them with 'peyk vault encrypt', and change those that others have seen", len(found))
}
