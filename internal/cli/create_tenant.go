package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// tenantLabel says whose a namespace and its accounts are.
const tenantLabel = "toolkit.fluxcd.io/tenant"

// tenancyFlags say what a tenant gets.
type tenancyFlags struct {
	namespaces    []string
	role, account string
	skip          bool
}

func (c *creation) newTenant() *cobra.Command {
	var f tenancyFlags
	cmd := &cobra.Command{
		Use: "tenant NAME", Args: wants(cobra.ExactArgs(1)), Short: "Create namespaces and a service account for a team",
		Long: `Create the namespaces of a team, a service account in each and its rights there. Kustomizations and HelmReleases that name
the account in spec.serviceAccountName are applied with its rights alone.`,
		Example: "  peyk create tenant shop --with-namespace shop --with-namespace shop-test --cluster-role admin",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.namespaces) == 0 || f.role == "" {
				return usagef("give --with-namespace and --cluster-role")
			}
			if f.account == "" {
				f.account = args[0]
			}
			for _, name := range append([]string{args[0], f.account}, f.namespaces...) {
				if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
					return usagef("name %q: %s", name, strings.Join(problems, ", "))
				}
			}
			return c.tenant(cmd, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.namespaces, "with-namespace", nil, "namespace of the team (several: repeat it)")
	flags.StringVar(&f.role, "cluster-role", "cluster-admin", "cluster role whose rights the account has in the namespaces")
	flags.StringVar(&f.account, "with-service-account", "", "name of the service account (default: that of the team)")
	flags.BoolVar(&f.skip, "skip-namespace", false, "the namespaces are there already")
	return cmd
}

func (c *creation) tenant(cmd *cobra.Command, name string, f tenancyFlags) error {
	var objects []client.Object
	for _, namespace := range f.namespaces {
		objects = append(objects, f.objects(name, namespace)...)
	}
	for _, object := range objects {
		if err := c.label(object); err != nil {
			return err
		}
	}
	if c.export {
		for _, object := range objects {
			if err := writeClean(cmd, object); err != nil {
				return err
			}
		}
		return nil
	}
	cluster, err := c.app.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), c.app.limit)
	defer cancel()
	say := newPrinter(cmd.OutOrStdout(), c.app.plain)
	for _, object := range objects {
		u, err := toUnstructured(object)
		if err != nil {
			return err
		}
		say.Action("applying %s %s", u.GetKind(), describe(client.ObjectKeyFromObject(u)))
		if _, err := upsert(ctx, cluster.Client, object); err != nil {
			return err
		}
	}
	say.Success("tenant setup completed")
	return nil
}

// objects are what a team has in one namespace.
func (f tenancyFlags) objects(tenant, namespace string) []client.Object {
	labels := func() map[string]string { return map[string]string{tenantLabel: tenant} }
	objects := []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: f.account, Namespace: namespace, Labels: labels()}},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: tenant + "-reconciler", Namespace: namespace, Labels: labels()},
			Subjects: []rbacv1.Subject{
				{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "gotk:" + namespace + ":reconciler"},
				{Kind: rbacv1.ServiceAccountKind, Name: f.account, Namespace: namespace},
			},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: f.role},
		},
	}
	if f.skip {
		return objects
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels()}}
	return append([]client.Object{space}, objects...)
}
