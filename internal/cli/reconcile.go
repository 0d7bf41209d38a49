package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/reconcile"
)

// subject is a kind that can be reconciled on request.
type subject struct {
	gvk schema.GroupVersionKind
	// done says what a successful pass did, such as "applied revision main@sha1:...".
	done func(*unstructured.Unstructured) string
	// source finds what the object is made from. Nil: nothing.
	source func(*unstructured.Unstructured) (subject, client.ObjectKey, error)
}

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
	source := group(&cobra.Command{
		Use: "source", Short: "Reconcile a source now", Long: "Ask Peyk to fetch a source now, and wait until that is done.",
		Example: "  peyk reconcile source git app",
	})
	source.AddCommand(a.newReconcileSubject("git NAME", nil, "Fetch a GitRepository now", gitSubject()))
	cmd.AddCommand(
		a.newReconcileSubject("pack NAME", []string{"pk"}, "Reconcile a Pack now", packSubject()),
		a.newReconcileSubject("kustomization NAME", []string{"ks"}, "Reconcile a Kustomization now", kustomizationSubject()),
		source,
	)
	return cmd
}

func (a *App) newReconcileSubject(use string, aliases []string, short string, s subject) *cobra.Command {
	withSource := false
	verb, _, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{
		Use: use, Aliases: aliases, Short: short, Args: wants(cobra.ExactArgs(1)),
		Long:    short + ", and wait until it is ready or has failed.",
		Example: fmt.Sprintf("  peyk reconcile %s app -n base", strings.Replace(verb, "git", "source git", 1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			r := &requester{cluster.Client, newPrinter(cmd.OutOrStdout(), a.plain), a.poll()}
			key := client.ObjectKey{Namespace: cluster.Namespace, Name: args[0]}
			if withSource {
				return r.reconcileWithSource(ctx, s, key)
			}
			return r.reconcile(ctx, s, key)
		},
	}
	if s.source != nil {
		cmd.Flags().BoolVar(&withSource, "with-source", false, "reconcile what it is made from first")
	}
	return cmd
}

func gitSubject() subject {
	return subject{
		gvk: sourcev1.GroupVersion.WithKind(sourcev1.GitRepositoryKind),
		done: func(o *unstructured.Unstructured) string {
			return "fetched revision " + field(o, "status", "artifact", "revision")
		},
	}
}

func kustomizationSubject() subject {
	return subject{
		gvk: ksv1.GroupVersion.WithKind(ksv1.KustomizationKind),
		done: func(o *unstructured.Unstructured) string {
			return "applied revision " + field(o, "status", "lastAppliedRevision")
		},
		source: func(o *unstructured.Unstructured) (subject, client.ObjectKey, error) {
			of := field(o, "spec", "sourceRef", "kind")
			if of != sourcev1.GitRepositoryKind {
				return subject{}, client.ObjectKey{}, fmt.Errorf("the source of Kustomization %s is a %s, which cannot be reconciled on request: leave --with-source out", o.GetName(), of)
			}
			key := client.ObjectKey{Namespace: field(o, "spec", "sourceRef", "namespace"), Name: field(o, "spec", "sourceRef", "name")}
			if key.Namespace == "" {
				key.Namespace = o.GetNamespace()
			}
			return gitSubject(), key, nil
		},
	}
}

func packSubject() subject {
	return subject{
		gvk: packv1.GroupVersion.WithKind(packv1.PackKind),
		done: func(o *unstructured.Unstructured) string {
			return fmt.Sprintf("applied chart %s %s", field(o, "spec", "chart", "name"), field(o, "status", "resolvedVersion"))
		},
		source: func(o *unstructured.Unstructured) (subject, client.ObjectKey, error) {
			of, name := field(o, "spec", "chart", "repository", "kind"), field(o, "spec", "chart", "repository", "name")
			if name == "" {
				of, name, _ = strings.Cut(field(o, "status", "repository"), "/")
			}
			if name == "" {
				return subject{}, client.ObjectKey{}, fmt.Errorf("the repository of Pack %s is not known yet: leave --with-source out", o.GetName())
			}
			s := subject{
				gvk: packv1.GroupVersion.WithKind(of),
				done: func(o *unstructured.Unstructured) string {
					return "read the index of " + field(o, "spec", "url")
				},
			}
			if of == packv1.PackRepositoryKind {
				return s, client.ObjectKey{Namespace: o.GetNamespace(), Name: name}, nil
			}
			s.gvk = packv1.GroupVersion.WithKind(packv1.ClusterPackRepositoryKind)
			return s, client.ObjectKey{Name: name}, nil
		},
	}
}

// requester asks for passes and waits for them.
type requester struct {
	client client.Client
	say    *printer
	poll   time.Duration
}

func (r *requester) reconcileWithSource(ctx context.Context, s subject, key client.ObjectKey) error {
	object, err := r.get(ctx, s, key)
	if err != nil {
		return err
	}
	source, sourceKey, err := s.source(object)
	if err != nil {
		return err
	}
	if err := r.reconcile(ctx, source, sourceKey); err != nil {
		return err
	}
	return r.reconcile(ctx, s, key)
}

func (r *requester) reconcile(ctx context.Context, s subject, key client.ObjectKey) error {
	object, err := r.get(ctx, s, key)
	if err != nil {
		return err
	}
	name := s.gvk.Kind + " " + strings.TrimPrefix(key.String(), "/")
	if suspended, _, _ := unstructured.NestedBool(object.Object, "spec", "suspend"); suspended {
		return fmt.Errorf("%s is suspended: set its spec.suspend to false first", name)
	}
	r.say.Action("annotating %s", name)
	token, err := r.request(ctx, object)
	if err != nil {
		return fmt.Errorf("annotating %s: %w", name, err)
	}
	r.say.Waiting("waiting for the reconciliation of %s", name)
	outcome, err := r.await(ctx, s, key, token)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s is not ready in time (--timeout): %s", name, outcome.reason())
	}
	if err != nil {
		return err
	}
	if outcome.status != "True" {
		return fmt.Errorf("%s is not ready: %s", name, outcome.message)
	}
	r.say.Success("%s", s.done(outcome.object))
	return nil
}

func (r *requester) get(ctx context.Context, s subject, key client.ObjectKey) (*unstructured.Unstructured, error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(s.gvk)
	err := r.client.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return nil, notFoundError{fmt.Errorf("there is no %s %q in the namespace %q", s.gvk.Kind, key.Name, key.Namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", s.gvk.Kind, key.Name, err)
	}
	return object, nil
}

// request sets the annotation that asks for a pass, and returns its value.
func (r *requester) request(ctx context.Context, object *unstructured.Unstructured) (string, error) {
	token := time.Now().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]string{reconcile.RequestAnnotation: token}},
	})
	if err != nil {
		return "", err
	}
	return token, r.client.Patch(ctx, object.DeepCopy(), client.RawPatch(types.MergePatchType, patch))
}

// outcome is the Ready condition of an object after a pass.
type outcome struct {
	object          *unstructured.Unstructured
	handled         bool
	status, message string
}

func (o outcome) reason() string {
	if !o.handled {
		return "Peyk has not handled the request: check that it runs with 'kubectl -n peyk-system get pods'"
	}
	return o.message
}

// await returns when the request is handled and the object is ready or has failed.
func (r *requester) await(ctx context.Context, s subject, key client.ObjectKey, token string) (outcome, error) {
	var last outcome
	err := wait.PollUntilContextCancel(ctx, r.poll, true, func(ctx context.Context) (bool, error) {
		object, err := r.get(ctx, s, key)
		if err != nil {
			return false, err
		}
		last = outcomeOf(object, token)
		return last.handled && (last.status == "True" || last.status == "False"), nil
	})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return last, err
}

func outcomeOf(object *unstructured.Unstructured, token string) outcome {
	o := outcome{object: object, handled: field(object, "status", "lastHandledReconcileAt") == token}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, raw := range conditions {
		if c, ok := raw.(map[string]any); ok && c["type"] == reconcile.Ready {
			o.status, _ = c["status"].(string)
			o.message, _ = c["message"].(string)
		}
	}
	observed, _, _ := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	if o.status == "True" && observed != object.GetGeneration() {
		o.status = "Unknown"
	}
	return o
}

// field returns a string of an object, empty when it is not there.
func field(o *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(o.Object, path...)
	return value
}
