package cli

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/operator"
)

// creation is what the create commands share.
type creation struct {
	app      *App
	interval time.Duration
	export   bool
	labels   []string
}

// draft is what the flags of a create command describe.
type draft struct {
	object client.Object
	// secret that the object refers to. Nil: none is made.
	secret *corev1.Secret
}

// target is the name that a create command was given, and what it may speak to.
type target struct {
	cmd             *cobra.Command
	say             *printer
	name, namespace string
}

func (a *App) newCreate() *cobra.Command {
	c := &creation{app: a}
	cmd := group(&cobra.Command{
		Use:   "create",
		Short: "Create or update sources, Kustomizations, HelmReleases, secrets and more",
		Long: `Create an object from flags, or bring one that exists to what the flags say, and wait until it is ready. With --export
nothing is created: the object is printed as YAML, to be committed to a Git repository.`,
		Example: `  peyk create source git app --url https://git.example.org/app --branch main
  peyk create kustomization app --source GitRepository/app --path ./deploy --prune

  # for a repository that Peyk follows already
  peyk create kustomization app --source GitRepository/app --path ./deploy --prune --export > app.yaml`,
	})
	flags := cmd.PersistentFlags()
	flags.DurationVar(&c.interval, "interval", time.Minute, "how often it is reconciled")
	flags.BoolVar(&c.export, "export", false, "print the object as YAML and leave the cluster alone")
	flags.StringSliceVar(&c.labels, "label", nil, "label as name=value (several: repeat it)")
	cmd.AddCommand(
		c.newSource(), c.newKustomization(), c.newHelmRelease(), c.newAlert(), c.newProvider(), c.newReceiver(), c.newSecret(), c.newTenant(),
	)
	return cmd
}

// command makes the command that creates objects of a kind.
func (c *creation) command(k kind, example string, build func(target) (draft, error)) *cobra.Command {
	return &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Args: wants(cobra.ExactArgs(1)),
		Short:   "Create or update a " + k.gvk.Kind,
		Long:    "Create a " + k.gvk.Kind + " from flags, or bring the one of that name to what the flags say, and wait until it is ready.",
		Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := c.target(cmd, args[0])
			if err != nil {
				return err
			}
			d, err := build(t)
			if err != nil {
				return err
			}
			if err := c.label(d.object); err != nil {
				return err
			}
			if c.export {
				return c.print(cmd, d)
			}
			return c.create(t, k, d)
		},
	}
}

func (c *creation) target(cmd *cobra.Command, name string) (target, error) {
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return target{}, usagef("name %q: %s", name, strings.Join(problems, ", "))
	}
	t := target{cmd: cmd, say: newPrinter(cmd.OutOrStdout(), c.app.plain), name: name}
	if c.export {
		t.say = newPrinter(cmd.ErrOrStderr(), c.app.plain)
	}
	namespace, err := c.namespace()
	t.namespace = namespace
	return t, err
}

// namespace is that of the flag or of the kubeconfig; for --export there may be no kubeconfig at all.
func (c *creation) namespace() (string, error) {
	if !c.export {
		cluster, err := c.app.connect()
		if err != nil {
			return "", err
		}
		return cluster.Namespace, nil
	}
	if c.app.access.Namespace != "" {
		return c.app.access.Namespace, nil
	}
	if cluster, err := c.app.connect(); err == nil {
		return cluster.Namespace, nil
	}
	return "default", nil
}

func (c *creation) label(object client.Object) error {
	labels := object.GetLabels()
	for _, label := range c.labels {
		name, value, found := strings.Cut(label, "=")
		if !found {
			return usagef("label %q: write name=value", label)
		}
		if problems := append(validation.IsQualifiedName(name), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			return usagef("label %q: %s", label, strings.Join(problems, ", "))
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[name] = value
	}
	object.SetLabels(labels)
	return nil
}

func (c *creation) print(cmd *cobra.Command, d draft) error {
	if d.secret != nil {
		if err := writeClean(cmd, d.secret); err != nil {
			return err
		}
	}
	return writeClean(cmd, d.object)
}

// writeClean prints what people would write of an object.
func writeClean(cmd *cobra.Command, object client.Object) error {
	u, err := toUnstructured(object)
	if err != nil {
		return err
	}
	return writeDocument(cmd.OutOrStdout(), tidy(u))
}

// toUnstructured converts an object and sets its kind.
func toUnstructured(object client.Object) (*unstructured.Unstructured, error) {
	scheme, err := operator.NewScheme()
	if err != nil {
		return nil, fmt.Errorf("registering the kinds: %w", err)
	}
	kinds, _, err := scheme.ObjectKinds(object)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %s: %w", object.GetName(), err)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("converting %s: %w", object.GetName(), err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(kinds[0])
	return u, nil
}

func (c *creation) create(t target, k kind, d draft) error {
	cluster, err := c.app.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.cmd.Context(), c.app.limit)
	defer cancel()
	if d.secret != nil {
		if err := applySecret(ctx, cluster.Client, t.say, d.secret); err != nil {
			return err
		}
	}
	t.say.line(blue, "✚", "generating %s", []any{k.gvk.Kind})
	t.say.Action("applying %s", k.gvk.Kind)
	done, err := upsert(ctx, cluster.Client, d.object)
	if err != nil {
		return err
	}
	t.say.Success("%s %s", k.gvk.Kind, done)
	r := &requester{client: cluster.Client, say: t.say, poll: c.app.poll()}
	t.say.Waiting("waiting for %s reconciliation", k.gvk.Kind)
	message, err := r.awaitReady(ctx, k, client.ObjectKeyFromObject(d.object))
	if err != nil {
		return fmt.Errorf("%s %s is not ready: %w", k.gvk.Kind, t.name, err)
	}
	t.say.Success("%s reconciliation completed", k.gvk.Kind)
	t.say.Success("%s", message)
	return nil
}

func applySecret(ctx context.Context, c client.Client, say *printer, secret *corev1.Secret) error {
	say.Action("applying secret with repository credentials")
	if _, err := upsert(ctx, c, secret); err != nil {
		return err
	}
	say.Success("authentication configured")
	return nil
}

// upsert creates the object, or gives the one that exists its spec and data, and adds its labels and annotations. It
// returns created, updated or unchanged.
func upsert(ctx context.Context, c client.Client, object client.Object) (string, error) {
	wanted, err := toUnstructured(object)
	if err != nil {
		return "", err
	}
	delete(wanted.Object, "status")
	name := wanted.GetKind() + " " + describe(client.ObjectKeyFromObject(object))
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(wanted.GroupVersionKind())
	err = c.Get(ctx, client.ObjectKeyFromObject(object), live)
	if apierrors.IsNotFound(err) {
		if err := c.Create(ctx, wanted); err != nil {
			return "", fmt.Errorf("creating %s: %w", name, err)
		}
		return "created", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	before := live.DeepCopy()
	for field, value := range wanted.Object {
		if field != "metadata" {
			live.Object[field] = value
		}
	}
	live.SetLabels(joined(live.GetLabels(), wanted.GetLabels()))
	live.SetAnnotations(joined(live.GetAnnotations(), wanted.GetAnnotations()))
	if apiequality.Semantic.DeepEqual(before.Object, live.Object) {
		return "unchanged", nil
	}
	if err := c.Update(ctx, live); err != nil {
		return "", fmt.Errorf("updating %s: %w", name, err)
	}
	return "updated", nil
}

func joined(into, from map[string]string) map[string]string {
	if len(from) == 0 {
		return into
	}
	all := maps.Clone(into)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, from)
	return all
}

// parseReference reads Kind/name.namespace, where the kind may be left out if there is a default, and the namespace too.
func parseReference(text, kind string) (of, name, namespace string, err error) {
	of, name, found := strings.Cut(text, "/")
	if !found {
		of, name = kind, text
	}
	if i := strings.LastIndex(name, "."); i > 0 {
		name, namespace = name[:i], name[i+1:]
	}
	if of == "" || name == "" {
		return "", "", "", usagef("reference %q: write Kind/name or Kind/name.namespace", text)
	}
	return of, name, namespace, nil
}
