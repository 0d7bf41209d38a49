package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ofPeyk is everything that an installation is made of; of what it worked on, only the definitions tell.
const ofPeyk = "deployment,pod,service,serviceaccount,ingress,role,rolebinding,clusterrole,clusterrolebinding,customresourcedefinition,lease,configmap"

// uninstall takes Peyk out of the cluster, which ends the tests: nothing of it may be left, and nothing that it brought may
// suffer.
func uninstall() error {
	ctx := context.Background()
	before, err := delivered(ctx)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		flags []string
		then  func(context.Context) error
	}{
		{[]string{"--dry-run"}, peykRuns},
		{[]string{"--silent", "--keep-namespace"}, peykIsGone},
		{[]string{"--silent"}, namespaceIsGone},
	} {
		if out, err := command(ctx, nil, "peyk", append([]string{"uninstall"}, step.flags...)...); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if err := eventually(ctx, step.then); err != nil {
			return fmt.Errorf("after peyk uninstall %s: %w", strings.Join(step.flags, " "), err)
		}
	}
	after, err := delivered(ctx)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(before, after); diff != "" {
		return fmt.Errorf("uninstalling Peyk changed what it had delivered (-before +after):\n%s", diff)
	}
	return nil
}

// delivered is the sample application: pods that were started anew are others. It must be one that runs.
func delivered(ctx context.Context) (string, error) {
	objects, err := command(ctx, nil, "kubectl", "get", "pods,deployments,statefulsets,services,ingresses", "-n", "base",
		"-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} {.metadata.deletionTimestamp}{"\n"}{end}`)
	if err != nil {
		return "", err
	}
	releases, err := command(ctx, nil, "helm", "list", "-n", "base", "-q")
	if err != nil {
		return "", err
	}
	if !strings.Contains(objects, "Pod/sample-app") || !strings.Contains(releases, "sample-app") {
		return "", fmt.Errorf("the sample application is not there:\n%s%s", objects, releases)
	}
	_, err = command(ctx, nil, "kubectl", "wait", "pods", "--all", "-n", "base", "--for=condition=Ready", "--timeout=30s")
	return objects + releases, err
}

func peykRuns(ctx context.Context) error {
	_, err := command(ctx, nil, "peyk", "check")
	if err == nil {
		_, err = command(ctx, nil, "kubectl", "get", "pack/sample-app", "-n", "base")
	}
	return err
}

// peykIsGone says what of Peyk is left, its namespace apart.
func peykIsGone(ctx context.Context) error {
	for _, label := range []string{"app.kubernetes.io/part-of=peyk", "app.kubernetes.io/name=peyk"} {
		out, err := command(ctx, nil, "kubectl", "get", ofPeyk, "-A", "-l", label, "-o", "name")
		if err != nil || out != "" {
			return errors.Join(err, fmt.Errorf("this is left: %s", out))
		}
	}
	kinds, err := command(ctx, nil, "kubectl", "get", "customresourcedefinitions", "-o", "name")
	if err != nil || kinds != "" {
		return errors.Join(err, fmt.Errorf("definitions are left: %s", kinds))
	}
	leases, err := command(ctx, nil, "kubectl", "get", "leases,services,serviceaccounts", "-n", "peyk-system", "--field-selector", "metadata.name!=default", "-o", "name")
	if err != nil || leases != "" {
		return errors.Join(err, fmt.Errorf("this is left in the namespace: %s", leases))
	}
	kept, err := command(ctx, nil, "kubectl", "get", "namespace/peyk-system", "secret/deploy-git", "-n", "peyk-system", "-o", "name")
	if err != nil {
		return fmt.Errorf("the namespace was not kept: %w%s", err, kept)
	}
	return nil
}

func namespaceIsGone(ctx context.Context) error {
	out, err := command(ctx, nil, "kubectl", "get", "namespace", "peyk-system", "--ignore-not-found", "-o", "name")
	if err != nil || out != "" {
		return errors.Join(err, fmt.Errorf("%s is still there", out))
	}
	return nil
}

// eventually waits until f returns nil. It is for what no test is there for.
func eventually(ctx context.Context, f func(context.Context) error) error {
	deadline := time.Now().Add(time.Minute)
	for {
		err := f(ctx)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
}
