package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/peyk/peyk/internal/vault"
)

func (a *App) newVault() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "vault",
		Short: "Encrypt the secrets of Packs, and find those that are not",
		Long: `Encrypt secrets for Packs and for files in Git, and find secrets that stand there in plain text.

A text that is encrypted with a key of the vault may stand anywhere in spec.values and in the vars of a Pack. The key is a
Secret in the namespace of the Pack; the text names it. Peyk opens the text just before it hands the values to Helm.`,
		Example: `  # a key for the namespace, and a text that its Packs can hold
  peyk vault key create webvp -n base
  peyk vault encrypt -i webvp -n base

  # a Secret for Git, opened by the Kustomization that applies it
  peyk vault encrypt --file secret.yaml --age age1...

  # what stands in plain text
  peyk vault scan .`,
	})
	key := group(&cobra.Command{
		Use: "key", Aliases: []string{"keys"}, Short: "Manage the keys of a namespace",
		Long: `Manage the keys that the texts in the Packs of a namespace are encrypted with. A key is a Secret with the label
` + vault.KeyLabel + `: whoever may read it can open the texts.`,
		Example: "  peyk vault key list -A",
	})
	key.AddCommand(a.newVaultKeyCreate(), a.newVaultKeyRotate(), a.newVaultKeyList(), a.newVaultKeyDelete())
	cmd.AddCommand(key, a.newVaultEncrypt(), a.newVaultDecrypt(), a.newVaultRekey(), a.newVaultScan())
	// kubit-cli has these here.
	for _, old := range []*cobra.Command{a.newVaultKeyCreate(), a.newVaultKeyList()} {
		old.Hidden = true
		cmd.AddCommand(old)
	}
	return cmd
}

// vaultPassword is where the password of a key comes from.
type vaultPassword struct {
	id, salt, plain, file string
	stdin                 bool
}

func (v *vaultPassword) saltFlag(flags *pflag.FlagSet) {
	flags.StringVarP(&v.salt, "salt", "s", "", "salt of every text of the key, which makes equal texts look equal (default: a random one for each text)")
}

func (v *vaultPassword) flags(flags *pflag.FlagSet) {
	flags.StringVarP(&v.id, "vault-id", "i", "", "ID of the key")
	flags.StringVarP(&v.plain, "password", "p", "", "password of the key; other users of the machine can see it, so prefer the two flags below")
	flags.StringVar(&v.file, "password-file", "", "file with the password of the key")
	flags.BoolVar(&v.stdin, "password-stdin", false, "read the password of the key from standard input")
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		// kubit-cli calls them so.
		return pflag.NormalizedName(strings.Replace(strings.Replace(name, "vault-password", "password", 1), "vault-salt", "salt", 1))
	})
}

func (v *vaultPassword) given() bool { return v.plain != "" || v.file != "" || v.stdin }

// read returns the password that the flags say; empty when they say none.
func (v *vaultPassword) read(cmd *cobra.Command, say *printer) (string, error) {
	var data []byte
	var err error
	switch {
	case v.plain != "" && (v.file != "" || v.stdin), v.file != "" && v.stdin:
		return "", usagef("give one of --password, --password-file and --password-stdin")
	case v.plain != "":
		say.Warning("a password in the command line is seen by other users of the machine and kept by the shell: use --password-file or --password-stdin")
		return v.plain, nil
	case v.file != "":
		data, err = os.ReadFile(v.file)
	case v.stdin:
		data, err = io.ReadAll(cmd.InOrStdin())
	default:
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimSpace(string(data))
	if password == "" {
		return "", usagef("the password is empty")
	}
	return password, nil
}

// warnings is where people are told what is no result.
func (a *App) warnings(cmd *cobra.Command) *printer { return newPrinter(cmd.ErrOrStderr(), a.plain) }

// vaultKey returns the key that the flags give the password of, or else the key of that ID in the cluster.
func (a *App) vaultKey(cmd *cobra.Command, v *vaultPassword, id string) (*vault.Key, error) {
	password, err := v.read(cmd, a.warnings(cmd))
	if err != nil {
		return nil, err
	}
	if password != "" {
		return vault.NewKey(id, password, []byte(v.salt))
	}
	if v.salt != "" {
		return nil, usagef("--salt goes with a password: a key in the cluster has its own")
	}
	if err := vault.CheckID(id); err != nil {
		return nil, usageError{err}
	}
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	key, err := vault.NewKeyring(cluster.Client, nil).Key(ctx, cluster.Namespace, id)
	if _, missing := errors.AsType[*vault.MissingError](err); missing {
		return nil, notFoundError{fmt.Errorf("vault key %q: %w", id, err)}
	}
	return key, err
}

// vaultInput is the text that a command works on: its argument, a file, what is piped in, or what is typed.
func (a *App) vaultInput(cmd *cobra.Command, args []string, file string, v *vaultPassword) (string, error) {
	in := cmd.InOrStdin()
	terminal, ok := in.(*os.File)
	typed := ok && term.IsTerminal(int(terminal.Fd()))
	switch {
	case len(args) > 0 && file != "":
		return "", usagef("give the text or --file, not both")
	case len(args) > 0:
		return args[0], nil
	case file != "":
		data, err := os.ReadFile(file) //nolint:gosec // the user names it
		if err != nil {
			return "", fmt.Errorf("reading the text: %w", err)
		}
		return string(data), nil
	case v.stdin:
		return "", usagef("standard input holds the password: give the text as an argument or with --file")
	case typed:
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "Type or paste the text, then press Enter and Ctrl+D:")
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return "", fmt.Errorf("reading the text: %w", err)
	}
	text := string(data)
	switch {
	case typed:
		return dedent(text), nil
	case strings.Count(text, "\n") == 1:
		// That is what echo adds; nobody means it to be a part of a password.
		return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), nil
	}
	return text, nil
}

// dedent takes away the indentation that all lines have, and blanks and empty lines at the ends.
func dedent(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	margin := -1
	for _, line := range lines {
		if bare := strings.TrimLeft(line, " \t"); bare != "" && (margin < 0 || len(line)-len(bare) < margin) {
			margin = len(line) - len(bare)
		}
	}
	for i, line := range lines {
		lines[i] = line[min(max(margin, 0), len(line)):]
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
