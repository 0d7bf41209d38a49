package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

func (a *App) newPackDelete() *cobra.Command {
	var volumes string
	var yes, clusterOnly bool
	s := &packSelection{}
	cmd := &cobra.Command{Use: "delete [NAME...]"}
	cmd.Short = "Delete Packs, after saying what goes with them"
	cmd.Long = `Delete Packs with their releases, after saying which objects and volumes go and asking whether that is meant, and wait until
they are gone. Volumes stay unless spec.volumes or --volumes says otherwise; a Pack of the same name takes them up again.

A Pack that lives in a Git repository comes back: remove it from its file instead, or give --cluster-only.`
	cmd.Example = "  peyk pack delete sample-app -n base\n\n  # for good\n  peyk pack delete sample-app --volumes delete --yes -n base"
	s.command(a, cmd, func(ctx context.Context, cluster *Cluster, say *printer, found []packv1.Pack) error {
		policy, err := volumePolicy(volumes)
		if err != nil {
			return err
		}
		for i := range found {
			origin, err := bringer(ctx, cluster.Client, &found[i])
			if err != nil {
				return err
			}
			if origin.name != "" && !clusterOnly {
				return fmt.Errorf("Pack %s was brought by %s and would come back: remove it from its file in Git, or give --cluster-only", found[i].Name, origin.name)
			}
			if err := tellLosses(ctx, cluster.Client, say, &found[i], policy); err != nil {
				return err
			}
		}
		if !yes {
			if err := confirm(cmd, fmt.Sprintf("Delete %s with all that", countPacks(found))); err != nil {
				return errors.New(strings.ReplaceAll(err.Error(), "--silent", "--yes"))
			}
		}
		for i := range found {
			if err := deletePack(ctx, cluster.Client, &found[i], policy); err != nil {
				return err
			}
			say.Action("deleting Pack %s%s", found[i].Name, inNamespace(client.ObjectKeyFromObject(&found[i])))
		}
		if s.noWait {
			return nil
		}
		return a.awaitGone(ctx, cluster, say, found)
	})
	cmd.Flags().StringVar(&volumes, "volumes", "", "keep or delete the volumes (default: what spec.volumes says)")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&clusterOnly, "cluster-only", false, "delete the Pack in the cluster, even if it lives in Git")
	return cmd
}

func volumePolicy(word string) (packv1.VolumePolicy, error) {
	switch strings.ToLower(word) {
	case "":
		return "", nil
	case "keep":
		return packv1.VolumesKeep, nil
	case "delete":
		return packv1.VolumesDelete, nil
	}
	return "", usagef("--volumes %q: choose keep or delete", word)
}

func countPacks(found []packv1.Pack) string {
	if len(found) == 1 {
		return "Pack " + describe(client.ObjectKeyFromObject(&found[0]))
	}
	return fmt.Sprintf("%d Packs", len(found))
}

// tellLosses says what goes with a Pack.
func tellLosses(ctx context.Context, c client.Client, say *printer, obj *packv1.Pack, policy packv1.VolumePolicy) error {
	objects, err := packObjects(ctx, c, obj)
	if err != nil {
		return err
	}
	say.Action("Pack %s: these go:", describe(client.ObjectKeyFromObject(obj)))
	for _, object := range objects {
		_, _ = fmt.Fprintf(say.out, "    %s\n", object)
	}
	if len(objects) == 0 {
		_, _ = fmt.Fprintln(say.out, "    nothing that you may see")
	}
	claims := &corev1.PersistentVolumeClaimList{}
	if err := c.List(ctx, claims, client.InNamespace(obj.Namespace), client.MatchingLabels{"app.kubernetes.io/instance": obj.Name}); err != nil {
		say.Warning("its volumes cannot be listed: %v", err)
		return nil
	}
	if policy == "" {
		policy = obj.Spec.Volumes
	}
	for i := range claims.Items {
		size := claims.Items[i].Spec.Resources.Requests.Storage()
		if policy == packv1.VolumesDelete {
			say.Warning("the volume of PersistentVolumeClaim/%s (%s) goes, with its data", claims.Items[i].Name, size)
		} else {
			say.Success("the volume of PersistentVolumeClaim/%s (%s) stays", claims.Items[i].Name, size)
		}
	}
	return nil
}

// releaseKinds are those of which people want to know that they go. Others are of little weight.
var releaseKinds = []string{
	"apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet", "batch/v1/CronJob", "batch/v1/Job", "/v1/Service", "networking.k8s.io/v1/Ingress",
	"/v1/ConfigMap", "/v1/Secret", "/v1/ServiceAccount", "autoscaling/v2/HorizontalPodAutoscaler", "policy/v1/PodDisruptionBudget",
}

// packObjects names the objects that carry the labels of a Pack. Kinds that the user may not list are left out.
func packObjects(ctx context.Context, c client.Client, obj *packv1.Pack) ([]string, error) {
	var names []string
	for _, kind := range releaseKinds {
		parts := strings.Split(kind, "/")
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(strings.TrimPrefix(parts[0]+"/"+parts[1], "/"))
		list.SetKind(parts[2] + "List")
		err := c.List(ctx, list, client.InNamespace(obj.Namespace), client.MatchingLabels{
			"peyk.dev/pack-name": obj.Name, "peyk.dev/pack-namespace": obj.Namespace,
		})
		if ctx.Err() != nil {
			return nil, fmt.Errorf("listing what belongs to Pack %s: %w", obj.Name, err)
		}
		if err != nil {
			continue
		}
		for i := range list.Items {
			names = append(names, parts[2]+"/"+list.Items[i].GetName())
		}
	}
	slices.Sort(names)
	return names, nil
}

func deletePack(ctx context.Context, c client.Client, obj *packv1.Pack, policy packv1.VolumePolicy) error {
	if policy != "" && obj.Spec.Volumes != policy {
		next := obj.DeepCopy()
		next.Spec.Volumes = policy
		if err := c.Patch(ctx, next, client.MergeFrom(obj)); err != nil {
			return fmt.Errorf("writing spec.volumes of Pack %s: %w", obj.Name, err)
		}
	}
	if err := c.Delete(ctx, obj); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Pack %s: %w", obj.Name, err)
	}
	return nil
}

func (a *App) awaitGone(ctx context.Context, cluster *Cluster, say *printer, found []packv1.Pack) error {
	for i := range found {
		key, live := client.ObjectKeyFromObject(&found[i]), &packv1.Pack{}
		said := time.Time{}
		err := wait.PollUntilContextCancel(ctx, a.poll(), true, func(ctx context.Context) (bool, error) {
			err := cluster.Client.Get(ctx, key, live)
			if err == nil && live.UID == found[i].UID && time.Since(said) > 10*time.Second {
				say.Waiting("waiting until Pack %s is gone%s", key.Name, because(live.Status.LastError))
				said = time.Now()
			}
			return err != nil && client.IgnoreNotFound(err) == nil || err == nil && live.UID != found[i].UID, client.IgnoreNotFound(err)
		})
		if ctx.Err() != nil {
			return fmt.Errorf("Pack %s is not gone in time (--timeout)%s", describe(key), because(live.Status.LastError))
		}
		if err != nil {
			return fmt.Errorf("reading Pack %s: %w", key.Name, err)
		}
		say.Success("Pack %s deleted", key.Name)
	}
	return nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
