package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/vault"
)

func (a *App) newVaultEncrypt() *cobra.Command {
	var v vaultPassword
	var file, fields string
	var recipients []string
	stdout := false
	cmd := &cobra.Command{
		Use: "encrypt [TEXT]", Args: wants(cobra.MaximumNArgs(1)), Short: "Encrypt a text for a Pack, or a file for Git",
		Long: `Encrypt a text with a key of the vault and print what a Pack can hold in its place, as a block of YAML. The text is the
argument, the file, what is piped in, or what is typed; of what is typed the common indentation and blanks at the ends are
taken off, and of a single line that is piped in its line break. With a password no cluster is needed.

With --age a whole file is encrypted as SOPS does it, in place, and can be opened by the owners of the keys, by 'sops' and by
a Kustomization that decrypts. Of YAML and JSON the fields data and stringData are encrypted, so that a Secret stays readable.`,
		Example: `  # for Packs of the namespace base
  peyk vault encrypt -i webvp -n base

  # without a cluster
  printf %s "$SECRET" | peyk vault encrypt -i webvp --password-file ./password

  # a Secret in Git
  peyk vault encrypt --file secret.yaml --age age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(recipients) > 0 {
				if file == "" || len(args) > 0 || v.id != "" || v.given() {
					return usagef("--age encrypts a file: give --file, and nothing of a vault key")
				}
				return a.sealFile(cmd, file, decrypt.Sealer{Recipients: recipients, Regex: fields}, stdout)
			}
			if v.id == "" {
				return usagef("say with which key: --vault-id, or --age for a file")
			}
			if v.given() {
				// A key that exists nowhere yet has to have a name that a cluster takes.
				if err := vault.CheckID(v.id); err != nil {
					return usageError{err}
				}
			}
			text, err := a.vaultInput(cmd, args, file, &v)
			if err != nil {
				return err
			}
			if vault.Sealed(text) {
				return usagef("the text is encrypted already")
			}
			key, err := a.vaultKey(cmd, &v, v.id)
			if err != nil {
				return err
			}
			closed, err := key.Encrypt([]byte(text))
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), closed)
			return err
		},
	}
	flags := cmd.Flags()
	v.flags(flags)
	v.saltFlag(flags)
	flags.StringVarP(&file, "file", "f", "", "file to encrypt")
	flags.StringSliceVar(&recipients, "age", nil, "age public key that the file is encrypted for, as SOPS does it (several: repeat it)")
	flags.StringVar(&fields, "encrypted-regex", decrypt.SecretFields, "with --age: which fields of YAML and JSON are encrypted; '' for all")
	flags.BoolVar(&stdout, "stdout", false, "with --age: print the file and leave it as it is")
	return cmd
}

func (a *App) sealFile(cmd *cobra.Command, file string, sealer decrypt.Sealer, stdout bool) error {
	data, err := os.ReadFile(file) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("reading the file: %w", err)
	}
	closed, err := sealer.Encrypt(data, decrypt.FormatOf(file))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if stdout {
		_, err = cmd.OutOrStdout().Write(closed)
		return err
	}
	if err := replaceFile(file, closed); err != nil {
		return err
	}
	newPrinter(cmd.OutOrStdout(), a.plain).Success("%s is encrypted for %d recipients", file, len(sealer.Recipients))
	return nil
}

// replaceFile writes a file that exists, whole or not at all. A link is followed; the mode stays.
func replaceFile(file string, data []byte) error {
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	draft, err := os.CreateTemp(filepath.Dir(target), ".peyk-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	defer func() { _ = os.Remove(draft.Name()) }()
	_, err = draft.Write(data)
	for _, step := range []func() error{
		func() error { return draft.Chmod(info.Mode().Perm()) }, draft.Sync, draft.Close, func() error { return os.Rename(draft.Name(), target) },
	} {
		if err != nil {
			break
		}
		err = step()
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
