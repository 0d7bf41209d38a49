package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/writeback"
	"github.com/peyk/peyk/internal/writeback/yamlfile"
)

// packWrite says how a change of a Pack's spec is made.
type packWrite struct {
	clusterOnly, noWait bool
	message             string
}

const packWriteHelp = `A Pack that lives in a Git repository is changed there. Where a PackSync commits what changes in the cluster, it makes the
commit. Otherwise the command makes it, with the credentials that Peyk has for the repository: the user must be able to read that
Secret. With --cluster-only the Pack is changed in the cluster alone, and the next change of its file, or the next comparison with
it, undoes that.`

func (o *packWrite) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.clusterOnly, "cluster-only", false, "change the Pack in the cluster, even if it lives in Git")
	noWaitFlag(cmd, &o.noWait)
	cmd.Flags().StringVarP(&o.message, "message", "m", "", "message of the commit (default: what was done)")
}

// packChange is what a Pack is to become.
type packChange struct {
	packWrite
	spec    packv1.PackSpec
	message string
}

// changePack writes chart, vars and values where the Pack lives, and waits until it is ready.
func (a *App) changePack(ctx context.Context, cluster *Cluster, say *printer, obj *packv1.Pack, c packChange) error {
	if sameSpec(obj.Spec, c.spec) {
		say.Success("Pack %s is so already", obj.Name)
		return nil
	}
	by, err := bringer(ctx, cluster.Client, obj)
	if err != nil {
		return err
	}
	inGit := false
	if by.name != "" && !c.clusterOnly && !by.commits(obj) {
		if inGit, err = a.commitPack(ctx, cluster, say, obj, c); err != nil {
			return fmt.Errorf("changing Pack %s in Git: %w; --cluster-only changes it in the cluster alone", obj.Name, err)
		}
	}
	if !inGit {
		if err := writeLive(ctx, cluster, say, obj, c, by); err != nil {
			return err
		}
	}
	if c.noWait {
		return nil
	}
	err = a.awaitPacks(ctx, cluster, say, []packv1.Pack{*obj}, func(was *packv1.Pack, o outcome) bool {
		return o.object.GetGeneration() > was.Generation && o.current()
	})
	if !inGit && by.commits(obj) {
		err = errors.Join(err, a.awaitCommit(ctx, cluster, say, obj, by.sync))
	}
	return err
}

// writeLive changes the Pack in the cluster. A PackSync that commits such changes is told whose this is and what it is.
func writeLive(ctx context.Context, cluster *Cluster, say *printer, obj *packv1.Pack, c packChange, by carrier) error {
	commits := by.commits(obj)
	if commits && by.pack.State != peykv1.PackSynced {
		return fmt.Errorf("Pack %s and its file %s are not the same (%s): %s", obj.Name, by.pack.Path, by.pack.State, by.pack.Message)
	}
	next := obj.DeepCopy()
	next.Spec = c.spec
	if commits {
		if next.Annotations == nil {
			next.Annotations = map[string]string{}
		}
		who := author()
		next.Annotations[peykv1.MessageAnnotation] = cmp.Or(c.packWrite.message, c.message)
		next.Annotations[peykv1.AuthorAnnotation] = (&mail.Address{Name: who.Name, Address: who.Email}).String()
	}
	if err := writePack(ctx, cluster, next); err != nil {
		return err
	}
	say.Success("Pack %s changed in the cluster", obj.Name)
	switch {
	case commits:
		say.Action("%s commits it to %s", by.name, by.pack.Path)
	case c.clusterOnly && by.name != "":
		say.Warning("%s may undo this: change the file too", by.name)
	}
	return nil
}

func writePack(ctx context.Context, cluster *Cluster, obj *packv1.Pack) error {
	err := cluster.Client.Update(ctx, obj)
	if apierrors.IsConflict(err) {
		return fmt.Errorf("Pack %s was changed by somebody else at the same time: look at it, then try again: %w", obj.Name, err)
	}
	if err != nil {
		return fmt.Errorf("writing Pack %s: %w", obj.Name, err)
	}
	return nil
}

// commitPack makes the change in the file that the Pack lives in, and says whether it lives in one.
func (a *App) commitPack(ctx context.Context, cluster *Cluster, say *printer, obj *packv1.Pack, c packChange) (bool, error) {
	dir, err := os.MkdirTemp("", "peyk-git-")
	if err != nil {
		return false, fmt.Errorf("making a folder for the repository: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	mirrors, err := git.NewMirrors(filepath.Join(dir, "git"), git.DefaultLimits())
	if err != nil {
		return false, err
	}
	locator := &writeback.Locator{Reader: cluster.Client, Secrets: cluster.Client, Mirrors: mirrors}
	at, found, err := locator.Locate(ctx, obj)
	if err != nil || !found {
		return found, err
	}
	writer := writeback.New(mirrors, writeback.Options{Scanner: writeback.NoSecrets{}})
	result, err := writer.Submit(ctx, writeback.Change{
		Target: at.Target, Path: at.Path, Edit: setSpec(at.Object, c.spec), Message: cmp.Or(c.packWrite.message, c.message),
		Author: author(), Sign: at.Sign, Request: writeback.NewRequest(),
	})
	if err != nil {
		return true, err
	}
	say.Success("committed %s to %s", shorten(result.Commit), result.Path)
	return true, a.follow(ctx, cluster, say, at.Follower)
}

// carrier is what brought a Pack from a Git repository.
type carrier struct {
	name string // empty when nothing did
	// sync is the PackSync that it is, nil for a Kustomization, and pack what that says of the Pack.
	sync *peykv1.PackSync
	pack peykv1.SyncedPack
}

// commits says whether a change of the Pack in the cluster becomes a commit.
func (c carrier) commits(obj *packv1.Pack) bool {
	return c.sync != nil && c.sync.Spec.Changes(obj.Annotations) == peykv1.CommitChanges
}

// bringer finds what brought the Pack from a Git repository. A user who may not look at the PackSyncs of all namespaces is told
// of those in the Pack's own.
func bringer(ctx context.Context, c client.Client, obj *packv1.Pack) (carrier, error) {
	const group = "kustomize.toolkit.fluxcd.io"
	if name := obj.Labels[group+"/name"]; name != "" {
		return carrier{name: "Kustomization " + obj.Labels[group+"/namespace"] + "/" + name}, nil
	}
	syncs := &peykv1.PackSyncList{}
	err := c.List(ctx, syncs)
	if apierrors.IsForbidden(err) {
		err = c.List(ctx, syncs, client.InNamespace(obj.Namespace))
	}
	if err != nil && !unknownKind(err) {
		return carrier{}, fmt.Errorf("listing the PackSyncs: %w", err)
	}
	for i := range syncs.Items {
		sync := &syncs.Items[i]
		if p := sync.Status.Pack(client.ObjectKeyFromObject(obj)); p != nil && p.Path != "" && p.State != peykv1.PackDetached && p.State != peykv1.PackUnmapped {
			return carrier{name: "PackSync " + describe(client.ObjectKeyFromObject(sync)), sync: sync, pack: *p}, nil
		}
	}
	return carrier{}, nil
}

// follow asks what follows the repository to look at it now.
func (a *App) follow(ctx context.Context, cluster *Cluster, say *printer, follower client.Object) error {
	if follower == nil {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		meta.ReconcileRequestAnnotation: time.Now().Format(time.RFC3339Nano),
	}}})
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	err = cluster.Client.Patch(ctx, follower, client.RawPatch(mergePatchType, patch))
	if apierrors.IsForbidden(err) {
		say.Warning("you may not ask %s to look at once: it will at its next interval", follower.GetName())
		return nil
	}
	return err
}

// setSpec is the edit that takes over chart, vars and values, and leaves everything else of the file as it is.
func setSpec(object yamlfile.Object, spec packv1.PackSpec) func([]byte) ([]byte, error) {
	return func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, fmt.Errorf("%w: it was removed", yamlfile.ErrNoObject)
		}
		encoded, err := json.Marshal(spec)
		if err != nil {
			return nil, fmt.Errorf("encoding the spec: %w", err)
		}
		return yamlfile.Update(old, object, func(pack map[string]any) error {
			var wanted map[string]any
			if err := json.Unmarshal(encoded, &wanted); err != nil {
				return fmt.Errorf("reading the spec: %w", err)
			}
			written, ok := pack["spec"].(map[string]any)
			if !ok {
				return errors.New("the file has no spec of the Pack")
			}
			for _, part := range []string{"chart", "vars", "values", "volumes"} {
				if value, ok := wanted[part]; ok && (part != "volumes" || written[part] != nil) {
					written[part] = value
				} else if !ok {
					delete(written, part)
				}
			}
			return nil
		})
	}
}

// author is whom commits are of.
func author() git.Signature {
	name := "unknown"
	if who, err := user.Current(); err == nil {
		name = cmp.Or(who.Name, who.Username)
	}
	host, err := os.Hostname()
	if err != nil {
		slog.Debug("the name of this machine is not known", "err", err)
		host = "localhost"
	}
	return git.Signature{Name: cmp.Or(os.Getenv("GIT_AUTHOR_NAME"), name), Email: cmp.Or(os.Getenv("GIT_AUTHOR_EMAIL"), name+"@"+host)}
}
