package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/vault"
)

func (a *App) newVaultDecrypt() *cobra.Command {
	var v vaultPassword
	var file, keyFile string
	cmd := &cobra.Command{
		Use: "decrypt [TEXT]", Args: wants(cobra.MaximumNArgs(1)), Short: "Show what an encrypted text or file holds",
		Long: `Print the plain text of an encrypted text, or of a file that SOPS encrypted for an age key. The text says which key it needs;
the key is read from the cluster, unless its password is given. Age keys are looked for where sops looks: in
$SOPS_AGE_KEY, in the file of $SOPS_AGE_KEY_FILE, and in ~/.config/sops/age/keys.txt.`,
		Example: `  peyk vault decrypt -n base < text.txt

  # without a cluster
  peyk vault decrypt --password-file ./password --file text.txt

  # a file of SOPS
  peyk vault decrypt --file secret.yaml --age-key-file ./keys.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.vaultInput(cmd, args, file, &v)
			if err != nil {
				return err
			}
			if format := decrypt.FormatOf(file); file != "" && decrypt.Encrypted([]byte(text), format) {
				return openFile(cmd, []byte(text), format, keyFile)
			}
			plain, err := a.openText(cmd, &v, text)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(plain)
			if err == nil && isTerminal(cmd.OutOrStdout()) {
				_, err = fmt.Fprintln(cmd.OutOrStdout())
			}
			return err
		},
	}
	flags := cmd.Flags()
	v.flags(flags)
	flags.StringVarP(&file, "file", "f", "", "file with the text")
	flags.StringVar(&keyFile, "age-key-file", "", "file with age private keys")
	return cmd
}

func (a *App) openText(cmd *cobra.Command, v *vaultPassword, text string) ([]byte, error) {
	parsed, err := vault.Parse(text)
	if err != nil {
		return nil, err
	}
	id := parsed.ID
	if v.id != "" && id != "" && v.id != id {
		return nil, usagef("the text names the key %s, not %s", id, v.id)
	}
	if id == "" {
		id = v.id
	}
	if id == "" && !v.given() {
		return nil, usagef("the text names no key: give --vault-id, or a password")
	}
	key, err := a.vaultKey(cmd, v, id)
	if err != nil {
		return nil, err
	}
	plain, _, err := key.Decrypt(parsed)
	return plain, err
}

// openFile prints the plain text of a file of SOPS.
func openFile(cmd *cobra.Command, data []byte, format decrypt.Format, keyFile string) error {
	keys, err := ageKeys(keyFile)
	if err != nil {
		return err
	}
	plain, err := (&decrypt.Opener{Keys: keys}).File(data, format, format)
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(plain)
	return err
}

// ageKeys reads the private keys of a file, or of where sops looks for them.
func ageKeys(file string) (*decrypt.Keys, error) {
	text := []byte(os.Getenv("SOPS_AGE_KEY"))
	if file != "" || len(text) == 0 {
		if file == "" {
			file = os.Getenv("SOPS_AGE_KEY_FILE")
		}
		if file == "" {
			folder, err := os.UserConfigDir()
			if err != nil {
				return nil, errors.New("no age key is at hand: give --age-key-file")
			}
			file = filepath.Join(folder, "sops", "age", "keys.txt")
		}
		var err error
		if text, err = os.ReadFile(file); err != nil { //nolint:gosec // the user names it
			return nil, fmt.Errorf("reading the age keys: %w: give --age-key-file", err)
		}
	}
	keys, err := decrypt.ParseKeys(map[string][]byte{"keys.agekey": text}, decrypt.AgeOnly)
	if err != nil {
		return nil, fmt.Errorf("reading the age keys: %w", err)
	}
	return keys, nil
}
