package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/controller/helmrelease"
)

func (a *App) newDebug() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "debug", Short: "Print what a HelmRelease or Kustomization works with",
		Long: `Print the status, the history, or what a HelmRelease or Kustomization puts together of ConfigMaps and Secrets.

WARNING: values and variables hold whatever the Secrets that they come from hold, readable.`,
		Example: `  peyk debug helmrelease app --show-values
  peyk debug kustomization apps --show-vars`,
	})
	cmd.AddCommand(
		a.newDebugKind(helmReleases(), "values", "print the values, merged of spec.valuesFrom and spec.values, with what is secret in them", finalValues),
		a.newDebugKind(kustomizations(), "vars", "print the variables of spec.postBuild as NAME=value, with what is secret in them", finalVariables),
	)
	return cmd
}

// inputs are what an object puts together of other objects.
type inputs func(context.Context, client.Client, *unstructured.Unstructured) (string, error)

func (a *App) newDebugKind(k kind, name, usage string, of inputs) *cobra.Command {
	var status, history, final bool
	show := "show-" + name
	cmd := &cobra.Command{
		Use: k.word + " NAME", Aliases: k.aliases, Args: wants(cobra.ExactArgs(1)),
		Short: "Print what a " + k.gvk.Kind + " works with",
		Long: "Print the status or the history of a " + k.gvk.Kind + ", or its " + name + ` as they are used.

WARNING: with --` + show + " Secrets that the " + k.gvk.Kind + " refers to are printed readable.",
		Example: "  peyk debug " + k.path() + ` app --show-status

  # the output holds secrets
  peyk debug ` + k.path() + " app --" + show + `

  peyk debug ` + k.path() + " app --show-history",
		ValidArgsFunction: a.completeNames(1, k),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := len(slices.DeleteFunc([]bool{status, history, final}, func(set bool) bool { return !set })); n != 1 {
				return usagef("exactly one of --show-status, --%s, or --show-history must be set", show)
			}
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			object, err := getObject(ctx, cluster.Client, k, k.key(cluster.Namespace, args[0]))
			if err != nil {
				return err
			}
			if !final {
				return writeStatus(cmd, cluster.Client, object, history)
			}
			newPrinter(cmd.ErrOrStderr(), a.plain).Warning("the output holds what the Secrets hold that the %s refers to", k.gvk.Kind)
			text, err := of(ctx, cluster.Client, object)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	cmd.Flags().BoolVar(&status, "show-status", false, "print the status")
	cmd.Flags().BoolVar(&history, "show-history", false, "print what was applied so far")
	cmd.Flags().BoolVar(&final, show, false, usage)
	return cmd
}

// writeStatus writes the status of an object, or only the history in it, with every field that its kind always has.
func writeStatus(cmd *cobra.Command, c client.Client, object *unstructured.Unstructured, history bool) error {
	typed, err := c.Scheme().New(object.GroupVersionKind())
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed)
	}
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	data, err := json.Marshal(typed)
	if err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	var whole struct {
		Status map[string]any `json:"status"`
	}
	if err := json.Unmarshal(data, &whole); err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	if !history {
		return writeValue(cmd.OutOrStdout(), "yaml", whole.Status)
	}
	entries, _ := whole.Status["history"].([]any)
	return writeValue(cmd.OutOrStdout(), "yaml", append([]any{}, entries...))
}

func finalValues(ctx context.Context, c client.Client, object *unstructured.Unstructured) (string, error) {
	hr := &helmv2.HelmRelease{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, hr); err != nil {
		return "", fmt.Errorf("reading HelmRelease %s: %w", object.GetName(), err)
	}
	values, err := helmrelease.Values(ctx, hr, c)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = writeValue(&text, "yaml", values)
	return text.String(), err
}

func finalVariables(ctx context.Context, c client.Client, object *unstructured.Unstructured) (string, error) {
	k, err := asKustomization(object)
	if err != nil {
		return "", err
	}
	if k.Spec.PostBuild == nil {
		return "", fmt.Errorf("Kustomization %s substitutes nothing: it has no spec.postBuild", k.Name)
	}
	variables, err := givenVariables(ctx, c, k)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(&text, "%s=%s\n", name, variables[name])
	}
	return text.String(), nil
}
