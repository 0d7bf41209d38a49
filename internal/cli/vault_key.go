package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/vault"
)

// keyID is the ID of a key, as an argument or as kubit-cli takes it.
func keyID(args []string, flag string) (string, error) {
	if len(args) > 0 == (flag != "") {
		return "", usagef("name the key once: as an argument, or with --vault-id")
	}
	id := flag
	if len(args) > 0 {
		id = args[0]
	}
	if err := vault.CheckID(id); err != nil {
		return "", usageError{err}
	}
	return id, nil
}

func (a *App) newVaultKeyCreate() *cobra.Command {
	var v vaultPassword
	dry := false
	cmd := &cobra.Command{
		Use: "create ID", Args: wants(cobra.MaximumNArgs(1)), Short: "Make a key for the Packs of a namespace",
		Long: `Make a key for the Packs of a namespace. Its password is a random one, which nobody has to know, unless one is given. Keep a
copy of the Secret where the cluster's loss does not reach it: without the password the texts in Git are lost.`,
		Example: `  peyk vault key create webvp -n base

  # with a password of your own, and one salt for all texts
  peyk vault key create webvp -n base --password-file ./password --salt 0123456789abcdef

  # print the Secret and leave the cluster alone
  peyk vault key create webvp -n base --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := keyID(args, v.id)
			if err != nil {
				return err
			}
			password, err := v.read(cmd, a.warnings(cmd))
			if err != nil {
				return err
			}
			key, err := vault.NewKey(id, cmp.Or(password, vault.NewPassword()), []byte(v.salt))
			if err != nil {
				return err
			}
			if dry {
				return writeValue(cmd.OutOrStdout(), "yaml", key.Secret(cmp.Or(a.access.Namespace, "default")))
			}
			return a.createVaultKey(cmd, key)
		},
	}
	v.flags(cmd.Flags())
	v.saltFlag(cmd.Flags())
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the Secret as YAML and leave the cluster alone")
	return cmd
}

func (a *App) createVaultKey(cmd *cobra.Command, key *vault.Key) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	err = cluster.Client.Create(ctx, key.Secret(cluster.Namespace))
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the namespace %s has a key %s already: give it another password with 'peyk vault key rotate %s'", cluster.Namespace, key.ID(), key.ID())
	}
	if err != nil {
		return fmt.Errorf("creating the Secret of %s: %w", key, err)
	}
	newPrinter(cmd.OutOrStdout(), a.plain).Success("vault key %s created in namespace %s", key.ID(), cluster.Namespace)
	return nil
}

func (a *App) newVaultKeyRotate() *cobra.Command {
	var v vaultPassword
	cmd := &cobra.Command{
		Use: "rotate ID", Args: wants(cobra.MaximumNArgs(1)), Short: "Give a key another password",
		Long: `Give a key another password: a random one, unless one is given. Texts encrypted before can still be opened until
'peyk vault rekey' has encrypted them anew. No Pack is applied because of it. Secrets that somebody may have read with the old
password have to be changed where they are used: encrypting them anew does not take that knowledge back.`,
		Example: `  peyk vault key rotate webvp -n base
  peyk vault rekey -i webvp -n base ./deploy`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := keyID(args, v.id)
			if err != nil {
				return err
			}
			password, err := v.read(cmd, a.warnings(cmd))
			if err != nil {
				return err
			}
			cluster, err := a.changeVaultKey(cmd, id, func(k *vault.Key) (*vault.Key, error) { return k.Rotate(cmp.Or(password, vault.NewPassword())) })
			if err != nil {
				return err
			}
			say := newPrinter(cmd.OutOrStdout(), a.plain)
			say.Success("vault key %s in namespace %s has another password", id, cluster.Namespace)
			say.Action("encrypt the texts anew with 'peyk vault rekey -i %s -n %s PATH', PATH being your files in Git", id, cluster.Namespace)
			return nil
		},
	}
	v.flags(cmd.Flags())
	return cmd
}

// changeVaultKey writes a changed key, unless somebody else did since it was read.
func (a *App) changeVaultKey(cmd *cobra.Command, id string, change func(*vault.Key) (*vault.Key, error)) (*Cluster, error) {
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	secret, err := vaultSecret(ctx, cluster, id)
	if err != nil {
		return nil, err
	}
	key, err := vault.FromSecret(secret)
	if err != nil {
		return nil, err
	}
	changed, err := change(key)
	if err != nil {
		return nil, err
	}
	secret.Data = changed.Secret(cluster.Namespace).Data
	if err := cluster.Client.Update(ctx, secret); err != nil {
		return nil, fmt.Errorf("changing the Secret of %s: %w", key, err)
	}
	return cluster, nil
}

func vaultSecret(ctx context.Context, cluster *Cluster, id string) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: vault.SecretName(id)}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, notFoundError{fmt.Errorf("there is no vault key %q in the namespace %q", id, cluster.Namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the Secret of vault key %s: %w", id, err)
	}
	return &secret, nil
}

// vaultKeyRow is what is told of a key.
type vaultKeyRow struct {
	Namespace string `json:"namespace"`
	ID        string `json:"id"`
	// Salt is fixed or random.
	Salt string `json:"salt"`
	// Previous is how many passwords it had before that still open texts.
	Previous int       `json:"previous"`
	Created  time.Time `json:"created"`
}

func (a *App) newVaultKeyList() *cobra.Command {
	format, all := "table", false
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Args: wants(cobra.NoArgs), Short: "List the keys of a namespace",
		Long:    "List the keys of a namespace, or of all of them. Passwords are not shown.",
		Example: "  peyk vault key list -A",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format, "table", "json", "yaml"); err != nil {
				return err
			}
			rows, err := a.listVaultKeys(cmd, all)
			if err != nil {
				return err
			}
			if format != "table" {
				return writeValue(cmd.OutOrStdout(), format, rows)
			}
			say := newPrinter(cmd.OutOrStdout(), a.plain)
			if len(rows) == 0 {
				a.warnings(cmd).Failure("no vault keys found")
				return nil
			}
			lines := [][]string{{"NAMESPACE", "ID", "SALT", "PREVIOUS", "AGE"}}
			for _, row := range rows {
				lines = append(lines, []string{row.Namespace, row.ID, row.Salt, strconv.Itoa(row.Previous), duration.HumanDuration(time.Since(row.Created))})
			}
			printTable(say, lines, true)
			return nil
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "table, json or yaml")
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "list the keys of all namespaces")
	return cmd
}

func (a *App) listVaultKeys(cmd *cobra.Command, all bool) ([]vaultKeyRow, error) {
	cluster, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	options := []client.ListOption{client.HasLabels{vault.KeyLabel}}
	if !all {
		options = append(options, client.InNamespace(cluster.Namespace))
	}
	var secrets corev1.SecretList
	if err := cluster.Client.List(ctx, &secrets, options...); err != nil {
		return nil, fmt.Errorf("listing the vault keys: %w", err)
	}
	rows := []vaultKeyRow{}
	for i := range secrets.Items {
		key, err := vault.FromSecret(&secrets.Items[i])
		if err != nil {
			a.warnings(cmd).Warning("namespace %s: %s", secrets.Items[i].Namespace, err)
			continue
		}
		row := vaultKeyRow{
			Namespace: secrets.Items[i].Namespace, ID: key.ID(), Salt: "random", Previous: key.Previous(), Created: secrets.Items[i].CreationTimestamp.Time,
		}
		if key.Salted() {
			row.Salt = "fixed"
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b vaultKeyRow) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.ID, b.ID))
	})
	return rows, nil
}

func (a *App) newVaultKeyDelete() *cobra.Command {
	silent, force := false, false
	cmd := &cobra.Command{
		Use: "delete ID", Args: wants(cobra.ExactArgs(1)), Short: "Delete a key",
		Long: `Delete a key, after asking whether that is meant. What was encrypted with it cannot be opened any more, in Git neither. A key
that Packs of the namespace use is kept, unless --force is given.`,
		Example: "  peyk vault key delete webvp -n base",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := keyID(args, "")
			if err != nil {
				return err
			}
			return a.deleteVaultKey(cmd, id, silent, force)
		},
	}
	cmd.Flags().BoolVarP(&silent, "silent", "s", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "delete a key that is in use, too")
	return cmd
}

func (a *App) deleteVaultKey(cmd *cobra.Command, id string, silent, force bool) error {
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	secret, err := vaultSecret(ctx, cluster, id)
	if err != nil {
		return err
	}
	if _, err := vault.FromSecret(secret); err != nil {
		return err
	}
	var packs packv1.PackList
	if err := cluster.Client.List(ctx, &packs, client.InNamespace(cluster.Namespace)); err != nil {
		return fmt.Errorf("looking for Packs that use the key: %w", err)
	}
	for i := range packs.Items {
		if len(packTexts(&packs.Items[i], id)) > 0 && !force {
			return fmt.Errorf("the Pack %s uses vault key %s: encrypt its secrets with another key first, or give --force", packs.Items[i].Name, id)
		}
	}
	if !silent {
		if err := confirm(cmd, fmt.Sprintf("Delete vault key %s of namespace %s and lose what was encrypted with it", id, cluster.Namespace)); err != nil {
			return err
		}
	}
	if err := cluster.Client.Delete(ctx, secret, client.Preconditions{UID: &secret.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the Secret of vault key %s: %w", id, err)
	}
	newPrinter(cmd.OutOrStdout(), a.plain).Success("vault key %s deleted", id)
	return nil
}
