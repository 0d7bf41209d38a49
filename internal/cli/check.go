package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/install"
)

// oldestKubernetes is the oldest release that Peyk is tried with; older ones lack what resource versions promise.
const oldestKubernetes = ">= 1.33.0-0"

func (a *App) newCheck() *cobra.Command {
	pre, namespace := false, install.DefaultNamespace
	cmd := &cobra.Command{
		Use: "check", Args: wants(cobra.NoArgs), Short: "Check the cluster and Peyk in it",
		Long: "Check that the cluster can run Peyk, that the operator runs, and that the definitions of its kinds are those of this version.",
		Example: `  # before an installation
  peyk check --pre

  peyk check`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
			defer cancel()
			c := &checker{cluster: cluster, say: newPrinter(cmd.OutOrStdout(), a.plain)}
			c.prerequisites()
			if !pre {
				c.operator(ctx, namespace)
				c.definitions(ctx)
			}
			return c.finish(pre)
		},
	}
	cmd.Flags().BoolVar(&pre, "pre", false, "check only what an installation needs")
	cmd.Flags().StringVar(&namespace, "operator-namespace", namespace, "namespace that Peyk runs in")
	return cmd
}

// checker says what is as it should be, and counts what is not.
type checker struct {
	cluster *Cluster
	say     *printer
	failed  []string
}

func (c *checker) fail(format string, args ...any) {
	c.say.Failure(format, args...)
	c.failed = append(c.failed, fmt.Sprintf(format, args...))
}

func (c *checker) finish(pre bool) error {
	if len(c.failed) > 0 {
		return errors.New("check failed: " + strings.Join(c.failed, "; "))
	}
	if pre {
		c.say.Success("prerequisites checks passed")
		return nil
	}
	c.say.Success("all checks passed")
	return nil
}

func (c *checker) prerequisites() {
	c.say.Action("checking prerequisites")
	if c.cluster.Config == nil {
		return
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.cluster.Config)
	var found *version.Info
	if err == nil {
		found, err = d.ServerVersion()
	}
	if err != nil {
		c.fail("Kubernetes' version is not known: %s", err)
		return
	}
	wanted, err := semver.NewConstraint(oldestKubernetes)
	parsed, bad := semver.NewVersion(found.GitVersion)
	if err != nil || bad != nil || !wanted.Check(parsed) {
		c.fail("Kubernetes %s is too old: Peyk needs %s", found.GitVersion, strings.TrimSuffix(oldestKubernetes, "-0"))
		return
	}
	c.say.Success("Kubernetes %s %s", strings.TrimPrefix(found.GitVersion, "v"), strings.ReplaceAll(oldestKubernetes, " ", ""))
}

func (c *checker) operator(ctx context.Context, namespace string) {
	c.say.Action("checking the operator")
	deployment := &appsv1.Deployment{}
	if err := c.cluster.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "peyk"}, deployment); err != nil {
		c.fail("there is no Deployment peyk in the namespace %s: install it with 'peyk install'", namespace)
		return
	}
	if deployment.Status.AvailableReplicas == 0 {
		c.fail("Deployment %s/peyk has no pod that is available: see 'kubectl -n %s describe pods'", namespace, namespace)
		return
	}
	c.say.Success("peyk: deployment ready")
	for _, container := range deployment.Spec.Template.Spec.Containers {
		c.say.Action("%s", container.Image)
	}
}

func (c *checker) definitions(ctx context.Context) {
	c.say.Action("checking definitions")
	wanted, err := crds.All()
	if err != nil {
		c.fail("reading the definitions of this version: %s", err)
		return
	}
	for _, definition := range wanted {
		live := definition.DeepCopy()
		if err := c.cluster.Client.Get(ctx, client.ObjectKeyFromObject(definition), live); err != nil {
			c.fail("definition %s is missing: install it with 'peyk install'", definition.GetName())
			continue
		}
		stored := storageVersion(definition)
		if !slices.Contains(servedVersions(live), stored) {
			c.fail("definition %s does not serve %s: bring it to this version with 'peyk install'", definition.GetName(), stored)
			continue
		}
		c.say.Success("%s/%s", definition.GetName(), stored)
	}
}

// storageVersion is the version that a definition stores objects in.
func storageVersion(definition *unstructured.Unstructured) string {
	for _, v := range versionsOfDefinition(definition) {
		if stored, _, _ := unstructured.NestedBool(v, "storage"); stored {
			name, _, _ := unstructured.NestedString(v, "name")
			return name
		}
	}
	return ""
}

func servedVersions(definition *unstructured.Unstructured) []string {
	var names []string
	for _, v := range versionsOfDefinition(definition) {
		if served, _, _ := unstructured.NestedBool(v, "served"); served {
			name, _, _ := unstructured.NestedString(v, "name")
			names = append(names, name)
		}
	}
	return names
}

func versionsOfDefinition(definition *unstructured.Unstructured) []map[string]any {
	raw, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	var versions []map[string]any
	for _, v := range raw {
		if m, ok := v.(map[string]any); ok {
			versions = append(versions, m)
		}
	}
	return versions
}
