package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
)

func noWaitFlag(cmd *cobra.Command, noWait *bool) {
	cmd.Flags().BoolVar(noWait, "no-wait", false, "do not wait until it is done (see also --timeout)")
}

// awaitSync reads the PackSync into sync until done says that it is so, or fails.
func (a *App) awaitSync(ctx context.Context, cluster *Cluster, sync *peykv1.PackSync, done func() (bool, error)) error {
	err := wait.PollUntilContextCancel(ctx, a.poll(), true, func(ctx context.Context) (bool, error) {
		if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(sync), sync); err != nil {
			return false, fmt.Errorf("reading PackSync %s: %w", sync.Name, err)
		}
		return done()
	})
	if ctx.Err() == nil || err == nil {
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("PackSync %s did not come so far in time (--timeout): %s", sync.Name, lastWord(sync))
	}
	return ctx.Err()
}

// lastWord is what a PackSync says of itself.
func lastWord(sync *peykv1.PackSync) string {
	if sync.Spec.Suspend {
		return "it is suspended"
	}
	if c := readyOf(sync); c != nil {
		return c.Message
	}
	return "Peyk has not looked at it: check that it runs with 'kubectl -n peyk-system get pods'"
}

// awaitConnection waits for the first look at a repository.
func (a *App) awaitConnection(ctx context.Context, cluster *Cluster, say *printer, sync *peykv1.PackSync) error {
	say.Waiting("waiting for %s", sync.Spec.URL)
	err := a.awaitSync(ctx, cluster, sync, func() (bool, error) {
		c := readyOf(sync)
		return c != nil && c.Status != "Unknown" && sync.Status.ObservedGeneration >= sync.Generation, nil
	})
	if err != nil {
		return err
	}
	if c := readyOf(sync); c.Status != "True" {
		return fmt.Errorf("PackSync %s is not ready: %s", sync.Name, c.Message)
	}
	say.Success("%s", readyOf(sync).Message)
	return nil
}

// awaitMapping waits until a change of a Pack's mapping was acted on.
func (a *App) awaitMapping(ctx context.Context, cluster *Cluster, say *printer, sync *peykv1.PackSync, m peykv1.PackMapping) error {
	wanted := sync.Generation
	say.Waiting("waiting for PackSync %s", sync.Name)
	if err := a.awaitSync(ctx, cluster, sync, func() (bool, error) { return sync.Status.ObservedGeneration >= wanted, nil }); err != nil {
		return err
	}
	shown := sync.Status.Pack(client.ObjectKey{Namespace: sync.Namespace, Name: m.Pack})
	switch {
	case m.Disconnected:
	case shown == nil:
		return fmt.Errorf("there is neither a Pack %s nor a file %s", m.Pack, m.Path)
	case shown.State != peykv1.PackSynced:
		return fmt.Errorf("Pack %s and %s are not the same (%s): %s", m.Pack, m.Path, shown.State, shown.Message)
	default:
		say.Success("Pack %s and %s are the same", m.Pack, shown.Path)
	}
	return nil
}

// awaitCommit waits until the PackSync has committed what the Pack was changed to with a message.
func (a *App) awaitCommit(ctx context.Context, cluster *Cluster, say *printer, obj *packv1.Pack, sync *peykv1.PackSync) error {
	say.Waiting("waiting for the commit")
	key := client.ObjectKeyFromObject(obj)
	err := a.awaitSync(ctx, cluster, sync, func() (bool, error) {
		pack, err := getPack(ctx, cluster, obj.Name)
		if err != nil {
			return false, err
		}
		if pack.Annotations[peykv1.MessageAnnotation] == "" {
			return true, nil
		}
		if shown := sync.Status.Pack(key); shown != nil && shown.State != peykv1.PackSynced {
			return false, fmt.Errorf("Pack %s was changed and not committed (%s): %s", obj.Name, shown.State, shown.Message)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	say.Success("committed by PackSync %s", sync.Name)
	return nil
}
