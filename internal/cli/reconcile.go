package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *App) newReconcile() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "reconcile",
		Short: "Reconcile an object now and wait until it is ready",
		Long: `Ask Peyk to reconcile an object now, wait until that is done, and say what came of it.
The exit code is 1 with the object's message when it is not ready then.`,
		Example: `  # fetch the repository, then apply it
  peyk reconcile kustomization apps --with-source

  peyk reconcile source git app
  peyk reconcile pack sample-app -n base`,
	})
	a.forKinds(cmd, "Reconcile a source now", a.newReconcileKind, func(k kind) bool { return !k.static })
	return cmd
}

func (a *App) newReconcileKind(k kind) *cobra.Command {
	var with demands
	cmd := &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Short: "Reconcile a " + k.gvk.Kind + " now", Args: wants(cobra.ExactArgs(1)),
		Long:    "Reconcile a " + k.gvk.Kind + " now, and wait until it is ready or has failed.",
		Example: "  peyk reconcile " + k.path() + " app -n base", ValidArgsFunction: a.completeNames(1, k),
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			r := &requester{client: cluster.Client, say: newPrinter(cmd.OutOrStdout(), a.plain), poll: a.poll(), demands: with}
			return r.reconcile(ctx, k, k.key(cluster.Namespace, args[0]))
		},
	}
	flags := cmd.Flags()
	if k.origin != nil {
		flags.BoolVar(&with.source, "with-source", false, "reconcile what it is made from first")
	}
	if k.gvk.Kind == helmv2.HelmReleaseKind {
		flags.BoolVar(&with.force, "force", false, "install or upgrade once even when nothing changed")
		flags.BoolVar(&with.reset, "reset", false, "forget the failures that were counted")
	}
	return cmd
}

// demands are what a request asks for besides a pass.
type demands struct{ source, force, reset bool }

// requester asks for passes and waits for them.
type requester struct {
	client  client.Client
	say     *printer
	poll    time.Duration
	demands demands
}

// reconcile asks for a pass over an object, after one over what it is made from if that is wanted.
func (r *requester) reconcile(ctx context.Context, k kind, key client.ObjectKey) error {
	object, err := r.get(ctx, k, key)
	if err != nil {
		return err
	}
	if suspended, _, _ := unstructured.NestedBool(object.Object, "spec", "suspend"); suspended {
		return fmt.Errorf("%s %s is suspended: resume it first with 'peyk resume %s %s'", k.gvk.Kind, describe(key), k.path(), key.Name)
	}
	if r.demands.source && k.origin != nil {
		origin, originKey, err := k.origin(object)
		if err != nil {
			return err
		}
		if err := r.reconcile(ctx, origin, originKey); err != nil {
			return err
		}
	}
	return r.reconcileOne(ctx, k, key, object)
}

func (r *requester) reconcileOne(ctx context.Context, k kind, key client.ObjectKey, object *unstructured.Unstructured) error {
	name := k.gvk.Kind + " " + describe(key)
	r.say.Action("annotating %s %s%s", k.gvk.Kind, key.Name, inNamespace(key))
	token, err := r.request(ctx, object)
	if err != nil {
		return fmt.Errorf("annotating %s: %w", name, err)
	}
	r.say.Success("%s annotated", k.gvk.Kind)
	r.say.Waiting("waiting for %s reconciliation", k.gvk.Kind)
	result, err := r.await(ctx, k, key, func(o outcome) bool { return o.handled(token) })
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s is not ready in time (--timeout): %s", name, result.reason(token))
	}
	if err != nil {
		return err
	}
	if result.status != "True" {
		return fmt.Errorf("%s is not ready: %s", name, result.message)
	}
	r.say.Success("%s", k.done(result.object))
	return nil
}

// key is the key of the object of that name, in the namespace if the kind lives in namespaces.
func (k kind) key(namespace, name string) client.ObjectKey {
	if k.cluster {
		namespace = ""
	}
	return client.ObjectKey{Namespace: namespace, Name: name}
}

// describe names an object without a leading slash when it is in no namespace.
func describe(key client.ObjectKey) string { return strings.TrimPrefix(key.String(), "/") }

func inNamespace(key client.ObjectKey) string {
	if key.Namespace == "" {
		return ""
	}
	return " in " + key.Namespace + " namespace"
}

func (r *requester) get(ctx context.Context, k kind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	return getObject(ctx, r.client, k, key)
}

func getObject(ctx context.Context, c client.Client, k kind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(k.gvk)
	err := c.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return nil, notFoundError{fmt.Errorf("there is no %s %q%s", k.gvk.Kind, key.Name, where(key))}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", k.gvk.Kind, key.Name, err)
	}
	return object, nil
}

func where(key client.ObjectKey) string {
	if key.Namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in the namespace %q", key.Namespace)
}

// request sets the annotation that asks for a pass, and returns its value.
func (r *requester) request(ctx context.Context, object *unstructured.Unstructured) (string, error) {
	token := time.Now().Format(time.RFC3339Nano)
	annotations := map[string]string{meta.ReconcileRequestAnnotation: token}
	if object.GetKind() == helmv2.HelmReleaseKind && r.demands.force {
		annotations[helmv2.ForceRequestAnnotation] = token
	}
	if object.GetKind() == helmv2.HelmReleaseKind && r.demands.reset {
		annotations[helmv2.ResetRequestAnnotation] = token
	}
	return token, mergePatch(ctx, r.client, object, map[string]any{"metadata": map[string]any{"annotations": annotations}})
}

// mergePatch changes the fields of an object that the patch holds.
func mergePatch(ctx context.Context, c client.Client, object *unstructured.Unstructured, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encoding the patch: %w", err)
	}
	return c.Patch(ctx, object.DeepCopy(), client.RawPatch(types.MergePatchType, data))
}

// outcome is the Ready condition of an object after a pass.
type outcome struct {
	object          *unstructured.Unstructured
	status, message string
}

// handled says whether the request of the token was.
func (o outcome) handled(token string) bool {
	return field(o.object, "status", "lastHandledReconcileAt") == token
}

func (o outcome) reason(token string) string {
	if o.object == nil || !o.handled(token) {
		return "Peyk has not handled the request: check that it runs with 'kubectl -n peyk-system get pods'"
	}
	return o.message
}

// await returns when the object is as begun says, and is ready or has failed.
func (r *requester) await(ctx context.Context, k kind, key client.ObjectKey, begun func(outcome) bool) (outcome, error) {
	var last outcome
	err := wait.PollUntilContextCancel(ctx, r.poll, true, func(ctx context.Context) (bool, error) {
		object, err := r.get(ctx, k, key)
		if err != nil {
			return false, err
		}
		last = outcomeOf(object)
		return begun(last) && (last.status == "True" || last.status == "False"), nil
	})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return last, err
}

func outcomeOf(object *unstructured.Unstructured) outcome {
	o := outcome{object: object}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, raw := range conditions {
		if c, ok := raw.(map[string]any); ok && c["type"] == meta.ReadyCondition {
			o.status, _ = c["status"].(string)
			o.message, _ = c["message"].(string)
		}
	}
	if o.status == "True" && !o.current() {
		o.status = "Unknown"
	}
	return o
}

// current says whether the outcome is that of the newest generation of the object.
func (o outcome) current() bool {
	observed, _, _ := unstructured.NestedInt64(o.object.Object, "status", "observedGeneration")
	return observed == o.object.GetGeneration()
}

// field returns a string of an object, empty when it is not there.
func field(o *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(o.Object, path...)
	return value
}
