package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func (a *App) newExport() *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "export",
		Short: "Print objects as YAML, fit for a Git repository",
		Long:  "Print objects as YAML without what the cluster added to them, so that they can be put into a Git repository.",
		Example: `  peyk export kustomization apps > apps.yaml

  # every Git source with its secret
  peyk export source git --all --with-credentials > sources.yaml`,
	})
	a.forKinds(cmd, "Print sources as YAML", a.newExportKind, func(kind) bool { return true })
	return cmd
}

func (a *App) newExportKind(k kind) *cobra.Command {
	s := selection{kind: k}
	credentials := false
	var cmd *cobra.Command
	cmd = s.command(a, "Export", func(ctx context.Context, cluster *Cluster, _ *printer) error {
		objects, err := s.find(ctx, cluster)
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := writeTyped(cmd, cluster.Client, object); err != nil {
				return err
			}
			if !credentials {
				continue
			}
			if err := exportSecret(ctx, cluster.Client, object, cmd.OutOrStdout()); err != nil {
				return err
			}
		}
		return nil
	})
	if k.source {
		cmd.Flags().BoolVar(&credentials, "with-credentials", false, "print the secrets that they refer to as well")
	}
	return cmd
}

// writeTyped prints an object the way its type encodes it, so that defaults which say nothing are left out.
func writeTyped(cmd *cobra.Command, c client.Client, object *unstructured.Unstructured) error {
	typed, err := c.Scheme().New(object.GroupVersionKind())
	if err != nil {
		return fmt.Errorf("finding the type of %s: %w", object.GetKind(), err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed); err != nil {
		return fmt.Errorf("reading %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return writeClean(cmd, typed.(client.Object))
}

// exportSecret prints the Secret that spec.secretRef names.
func exportSecret(ctx context.Context, c client.Client, object *unstructured.Unstructured, out io.Writer) error {
	name := field(object, "spec", "secretRef", "name")
	if name == "" {
		return nil
	}
	secret := &unstructured.Unstructured{}
	secret.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
	key := client.ObjectKey{Namespace: object.GetNamespace(), Name: name}
	if err := c.Get(ctx, key, secret); err != nil {
		return fmt.Errorf("reading the Secret of %s %s: %w", object.GetKind(), describe(client.ObjectKeyFromObject(object)), err)
	}
	return writeDocument(out, tidy(secret))
}

// tidy returns what people wrote of an object.
func tidy(object *unstructured.Unstructured) map[string]any {
	content := map[string]any{}
	for name, value := range object.Object {
		if inner, isMap := value.(map[string]any); isMap && len(inner) == 0 {
			continue
		}
		if name != "status" && name != "metadata" {
			content[name] = value
		}
	}
	metadata := map[string]any{"name": object.GetName()}
	if object.GetNamespace() != "" {
		metadata["namespace"] = object.GetNamespace()
	}
	if labels := object.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	if annotations := object.GetAnnotations(); len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	content["metadata"] = metadata
	return content
}

// writeDocument writes one document of a YAML stream.
func writeDocument(out io.Writer, content any) error {
	data, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("encoding the object: %w", err)
	}
	_, err = fmt.Fprintf(out, "---\n%s", data)
	return err
}
