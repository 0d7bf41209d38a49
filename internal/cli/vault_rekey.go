package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/vault"
)

// rekeying is what the flags of rekey say.
type rekeying struct {
	vaultPassword
	old        string
	files      []string
	recipients []string
	keyFile    string
	keep       bool
}

func (a *App) newVaultRekey() *cobra.Command {
	var r rekeying
	cmd := &cobra.Command{
		Use: "rekey [PATH...]", Short: "Encrypt again what was encrypted with a former password or for others",
		Long: `Encrypt the texts of a key again that were encrypted with a password it had before. With paths: the texts in these files, and
in the files of these folders; nothing else in them changes. Without: those in the Packs and Configs of the namespace; then the
former passwords are forgotten, unless something still needs them. What is applied from Git is left to the files in Git.

With --age files of SOPS are encrypted again for these recipients and no others. What a recipient could read until now, he may
have kept: the values are listed, to be changed where they come from.`,
		Example: `  # after 'peyk vault key rotate webvp -n base'
  peyk vault rekey -i webvp -n base ./deploy
  git commit -am "Encrypt the secrets again" && git push
  peyk vault rekey -i webvp -n base

  # without a cluster
  peyk vault rekey -i webvp --old-password-file ./old --password-file ./new ./deploy

  # other recipients of a file of SOPS
  peyk vault rekey --file secret.yaml --age age1... --age-key-file ./keys.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.files = append(r.files, args...)
			switch {
			case len(r.recipients) > 0 && (r.id != "" || len(r.files) == 0):
				return usagef("--age is for files of SOPS: name them, and no vault key")
			case len(r.recipients) > 0:
				return a.resealFiles(cmd, &r)
			case r.id == "":
				return usagef("say of which key: --vault-id, or --age for files of SOPS")
			case len(r.files) > 0:
				return a.rekeyFiles(cmd, &r)
			case r.given():
				return usagef("name the files: a password is for work without a cluster")
			}
			return a.rekeyCluster(cmd, &r)
		},
	}
	flags := cmd.Flags()
	r.flags(flags)
	r.saltFlag(flags)
	flags.StringVar(&r.old, "old-password-file", "", "file with the former password, with a new one given by --password-file")
	flags.StringSliceVarP(&r.files, "file", "f", nil, "file or folder, as a PATH")
	flags.StringSliceVar(&r.recipients, "age", nil, "age public key that files of SOPS are encrypted for (several: repeat it)")
	flags.StringVar(&r.keyFile, "age-key-file", "", "file with age private keys that open the files")
	flags.BoolVar(&r.keep, "keep-previous", false, "do not forget former passwords")
	return cmd
}

// eachFile hands the regular text files of paths to a function, and writes back what it returns. Nil leaves a file alone.
func eachFile(paths []string, change func(file string, data []byte) ([]byte, error)) error {
	for _, root := range paths {
		err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == ".git":
				return filepath.SkipDir
			case !entry.Type().IsRegular() && file != root, entry.IsDir():
				return nil
			}
			data, err := os.ReadFile(file) //nolint:gosec // the user names the folder
			if err != nil || len(data) > decrypt.MaxSize {
				return err
			}
			changed, err := change(file, data)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if changed == nil || bytes.Equal(changed, data) {
				return nil
			}
			return replaceFile(file, changed)
		})
		if err != nil {
			return fmt.Errorf("encrypting again: %w", err)
		}
	}
	return nil
}

func (a *App) rekeyFiles(cmd *cobra.Command, r *rekeying) error {
	key, err := a.rotatedKey(cmd, r)
	if err != nil {
		return err
	}
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	changed, current := 0, 0
	err = eachFile(r.files, func(file string, data []byte) ([]byte, error) {
		done, err := key.Rekey(data)
		if err != nil {
			return nil, err
		}
		changed, current = changed+done.Changed, current+done.Current
		if done.Changed == 0 {
			return nil, nil
		}
		say.Action("%s: %d encrypted again", file, done.Changed)
		return done.Content, nil
	})
	if err != nil {
		return err
	}
	say.Success("%d texts of vault key %s are encrypted again, %d were up to date", changed, r.id, current)
	return nil
}

// rotatedKey is the key of the cluster, or one made of the former and the new password.
func (a *App) rotatedKey(cmd *cobra.Command, r *rekeying) (*vault.Key, error) {
	if !r.given() && r.old == "" {
		return a.vaultKey(cmd, &r.vaultPassword, r.id)
	}
	if !r.given() || r.old == "" {
		return nil, usagef("without a cluster both passwords are needed: --old-password-file and --password-file")
	}
	former := &vaultPassword{id: r.id, file: r.old, salt: r.salt}
	key, err := a.vaultKey(cmd, former, r.id)
	if err != nil {
		return nil, err
	}
	password, err := r.read(cmd, a.warnings(cmd))
	if err != nil {
		return nil, err
	}
	return key.Rotate(password)
}

func (a *App) resealFiles(cmd *cobra.Command, r *rekeying) error {
	keys, err := ageKeys(r.keyFile)
	if err != nil {
		return err
	}
	sealer := decrypt.Sealer{Recipients: r.recipients}
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	files := 0
	err = eachFile(r.files, func(file string, data []byte) ([]byte, error) {
		format := decrypt.FormatOf(file)
		if !decrypt.Encrypted(data, format) {
			return nil, nil
		}
		done, err := sealer.Rekey(&decrypt.Opener{Keys: keys}, data, format)
		if err != nil {
			return nil, err
		}
		files++
		say.Action("%s: change at the source what its former recipients may have kept:", file)
		for _, field := range done.Read {
			say.Warning("  %s", field)
		}
		return done.Content, nil
	})
	if err != nil {
		return err
	}
	if files == 0 {
		return fmt.Errorf("none of the files is encrypted with SOPS")
	}
	say.Success("%d files are encrypted for %d recipients", files, len(r.recipients))
	return nil
}

// fromGit is the label of objects that a Kustomization applies.
const fromGit = "kustomize.toolkit.fluxcd.io/name"

// packTexts returns the texts of a key in what a Pack or a Config wants.
func packTexts(object client.Object, id string) []vault.Place {
	data, err := json.Marshal(specOf(object))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(vault.Find(data), func(p vault.Place) bool { return !vault.Names(p.Text, id) })
}

// specOf returns where an object holds vars and values.
func specOf(object client.Object) any {
	switch object := object.(type) {
	case *packv1.Pack:
		return &object.Spec
	case *packv1.Config:
		return &object.Spec
	}
	return nil
}

func (a *App) rekeyCluster(cmd *cobra.Command, r *rekeying) error {
	key, err := a.vaultKey(cmd, &r.vaultPassword, r.id)
	if err != nil {
		return err
	}
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	objects, err := holders(ctx, cluster)
	if err != nil {
		return err
	}
	git, err := appliedFromGit(ctx, cluster, objects)
	if err != nil {
		return err
	}
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	changed, needed := 0, 0
	for _, object := range objects {
		n, err := rekeyObject(ctx, cluster, key, object, git[object])
		switch {
		case err != nil:
			return err
		case n > 0 && git[object]:
			needed += n
			say.Warning("%s is applied from Git: encrypt its file again with 'peyk vault rekey -i %s -n %s PATH'", object.GetName(), r.id, cluster.Namespace)
		case n > 0:
			changed += n
			say.Action("%s: %d encrypted again", object.GetName(), n)
		}
	}
	say.Success("%d texts of vault key %s are encrypted again", changed, r.id)
	if needed > 0 || r.keep || key.Previous() == 0 {
		return nil
	}
	if _, err := a.changeVaultKey(cmd, r.id, func(k *vault.Key) (*vault.Key, error) { return k.Forget(), nil }); err != nil {
		return err
	}
	say.Success("%d former passwords are forgotten", key.Previous())
	return nil
}

// holders returns what may hold texts in a namespace.
func holders(ctx context.Context, cluster *Cluster) ([]client.Object, error) {
	var packs packv1.PackList
	var configs packv1.ConfigList
	for _, list := range []client.ObjectList{&packs, &configs} {
		if err := cluster.Client.List(ctx, list, client.InNamespace(cluster.Namespace)); err != nil {
			return nil, fmt.Errorf("looking for encrypted texts: %w", err)
		}
	}
	var all []client.Object
	for i := range packs.Items {
		all = append(all, &packs.Items[i])
	}
	for i := range configs.Items {
		all = append(all, &configs.Items[i])
	}
	return all, nil
}

// appliedFromGit finds the objects that are kept as a file in Git says: by a Kustomization, or by a PackSync.
func appliedFromGit(ctx context.Context, cluster *Cluster, objects []client.Object) (map[client.Object]bool, error) {
	var syncs peykv1.PackSyncList
	err := cluster.Client.List(ctx, &syncs, client.InNamespace(cluster.Namespace))
	if err != nil && !meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("looking for what comes from Git: %w", err)
	}
	synced := map[string]bool{}
	for i := range syncs.Items {
		for _, p := range syncs.Items[i].Status.Packs {
			synced[p.Name] = synced[p.Name] || p.State != peykv1.PackDetached && p.State != peykv1.PackUnmapped
		}
	}
	git := map[client.Object]bool{}
	for _, object := range objects {
		_, isPack := object.(*packv1.Pack)
		git[object] = object.GetLabels()[fromGit] != "" || isPack && synced[object.GetName()]
	}
	return git, nil
}

// rekeyObject encrypts the texts of an object again, unless that is up to Git, and returns how many need or needed it.
func rekeyObject(ctx context.Context, cluster *Cluster, key *vault.Key, object client.Object, git bool) (int, error) {
	spec := specOf(object)
	data, err := json.Marshal(spec)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", object.GetName(), err)
	}
	done, err := key.Rekey(data)
	if err != nil {
		return 0, fmt.Errorf("%s: a text cannot be opened: %w", object.GetName(), err)
	}
	if done.Changed == 0 || git {
		return done.Changed, nil
	}
	if err := json.Unmarshal(done.Content, spec); err != nil {
		return 0, fmt.Errorf("reading %s: %w", object.GetName(), err)
	}
	if err := cluster.Client.Update(ctx, object); err != nil {
		return 0, fmt.Errorf("writing %s: %w", object.GetName(), err)
	}
	return done.Changed, nil
}
