package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newResume() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "resume",
		Short: "Reconcile suspended objects again",
		Long:  `Reconcile suspended objects again. For one object the command waits until that is done; for several it does with --wait.`,
		Example: `  peyk resume kustomization apps

  # all of a namespace, and wait until they are ready
  peyk resume helmrelease --all --wait -n base`,
	})
	a.forKinds(cmd, "Fetch suspended sources again", a.newResumeKind, kind.suspends)
	return cmd
}

func (a *App) newResumeKind(k kind) *cobra.Command {
	s := selection{kind: k}
	wait := false
	var cmd *cobra.Command
	cmd = s.command(a, "Resume", func(ctx context.Context, cluster *Cluster, say *printer) error {
		objects, err := s.find(ctx, cluster)
		if err != nil {
			return err
		}
		for _, object := range objects {
			say.Action("resuming %s %s%s", k.human(), object.GetName(), inNamespace(client.ObjectKeyFromObject(object)))
			if err := setSuspend(ctx, cluster.Client, object, false); err != nil {
				return err
			}
			say.Success("%s resumed", k.human())
		}
		if !wait && (cmd.Flags().Changed("wait") || len(s.names) != 1) {
			return nil
		}
		r := &requester{client: cluster.Client, say: say, poll: a.poll()}
		return r.awaitAll(ctx, k, objects)
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until they are ready (default: for a single object)")
	return cmd
}

// awaitAll waits until every object is ready, and says of each what came of it.
func (r *requester) awaitAll(ctx context.Context, k kind, objects []*unstructured.Unstructured) error {
	for range objects {
		r.say.Waiting("waiting for %s reconciliation", k.gvk.Kind)
	}
	var failed []string
	for _, object := range objects {
		key := client.ObjectKeyFromObject(object)
		message, err := r.awaitReady(ctx, k, key)
		if err != nil {
			r.say.Failure("%s %s reconciliation failed: %s", k.gvk.Kind, key.Name, err)
			failed = append(failed, key.Name)
			continue
		}
		r.say.Success("%s %s reconciliation completed", k.gvk.Kind, key.Name)
		r.say.Success("%s", message)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d objects of kind %s are not ready: %s", len(failed), len(objects), k.gvk.Kind, strings.Join(failed, ", "))
	}
	return nil
}

// awaitReady waits until the object's newest generation is ready or has failed, and returns what was done.
func (r *requester) awaitReady(ctx context.Context, k kind, key client.ObjectKey) (string, error) {
	if k.static {
		object, err := r.get(ctx, k, key)
		if err != nil {
			return "", err
		}
		return k.done(object), nil
	}
	result, err := r.await(ctx, k, key, outcome.current)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && result.message == "":
		return "", errors.New("it is not ready in time (--timeout)")
	case errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("it is not ready in time (--timeout): %s", result.message)
	case err != nil:
		return "", err
	case result.status != "True":
		return "", errors.New(result.message)
	}
	return k.done(result.object), nil
}
