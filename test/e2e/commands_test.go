package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// contains checks that a command prints every one of some texts, and returns what it prints.
func contains(t *testing.T, want []string, args ...string) string {
	t.Helper()
	out := try(t, "", "peyk", args...)
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("peyk %s does not say %q:\n%s", strings.Join(args, " "), text, out)
		}
	}
	return out
}

func TestCheckFindsNothing(t *testing.T) {
	contains(t, []string{"prerequisites checks passed"}, "check", "--pre")
	contains(t, []string{"peyk: deployment ready", "registry.localhost/peyk@sha256:", "gitrepositories.source.toolkit.fluxcd.io/v1", "all checks passed"}, "check")
	out, err := command(t.Context(), nil, "peyk", "check", "--operator-namespace", "default")
	if err == nil || !strings.Contains(err.Error(), "peyk install") {
		t.Errorf("where Peyk is not installed, check says %v, want it to name the mend:\n%s", err, out)
	}
}

// What is installed once more is left alone: the operator is not even started again.
func TestInstallingAgainChangesNothing(t *testing.T) {
	look := func() string {
		return kubectl(t, "get", "deployments,pods", "-n", "peyk-system", "-l", "app.kubernetes.io/name=peyk", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.metadata.generation} {end}`)
	}
	image := kubectl(t, "get", "deployment/peyk", "-n", "peyk-system", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	before := look()
	args := []string{"install", "--image", image, "--ingress-host", "peyk.localhost"}
	if out := contains(t, []string{"unchanged"}, append(args, "--dry-run")...); strings.Contains(out, "would be") {
		t.Errorf("installing again would change something:\n%s", out)
	}
	try(t, "", "peyk", args...)
	if after := look(); after != before {
		t.Errorf("the operator was %q and is %q", before, after)
	}
}

// The log of a real pod, of one object and followed, and the events and counts of the same cluster.
func TestLogsEventsAndStats(t *testing.T) {
	r := newRepository(t, "watched")
	r.push(t, map[string]string{"ns.yaml": space("watched"), "a.yaml": settings("watched", "a", "1")})
	r.follow(t, "./", "")
	becomesReady(t, "kustomization", "peyk-system", "watched")
	for line := range strings.Lines(contains(t, []string{"Kustomization/watched.peyk-system - "}, "logs", "-n", "peyk-system", "--kind", "Kustomization", "--name", "watched")) {
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+Z (debug|info|warn|error) Kustomization/watched\.peyk-system - `).MatchString(line) {
			t.Errorf("a line of the log is not as it should be: %s", line)
		}
	}
	follow, err := followErrors(t)
	if err != nil {
		t.Fatal(err)
	}
	r.push(t, map[string]string{"ns.yaml": space("watched"), "a.yaml": "kind: [broken\n"})
	soon(t, 90*time.Second, func() error {
		if out := follow(); !strings.Contains(out, "error Kustomization/watched.peyk-system - not ready a.yaml: ") {
			return fmt.Errorf("the followed log does not tell of the failure:\n%s", out)
		}
		return nil
	})
	contains(t, []string{"LAST SEEN", "Kustomization/watched", "GitRepository/watched", "a.yaml"}, "events", "-n", "peyk-system", "--for", "Kustomization/watched")
	if out := try(t, "", "peyk", "events", "-n", "peyk-system", "--for", "Kustomization/watched", "--types", "Warning"); strings.Contains(out, "Normal") {
		t.Errorf("events of type Warning hold others:\n%s", out)
	}
	stats := contains(t, []string{"RECONCILERS"}, "stats", "-A")
	if !regexp.MustCompile(`(?m)^Kustomization\s+\d+\s+[1-9]\d*\s+0\s`).MatchString(stats) || !regexp.MustCompile(`(?m)^GitRepository\s+[1-9]\d*\s.* [KMG]?i?B`).MatchString(stats) {
		t.Errorf("stats show neither the failing Kustomization nor the size of artifacts:\n%s", stats)
	}
	contains(t, []string{"Kustomization/peyk-system/watched", "Namespace/watched", "ConfigMap/watched/a"}, "tree", "kustomization", "watched", "-n", "peyk-system")
}

// followErrors runs `peyk logs --level error --follow` until the test ends, and returns what it has printed so far.
func followErrors(t *testing.T) (func() string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, local.bin+"/peyk", "logs", "-n", "peyk-system", "--name", "watched", "--level", "error", "--follow", "--since", "1s", "--kubeconfig", local.Kubeconfig) //nolint:gosec // a program of this repository
	out := &buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			t.Error(err)
		}
	})
	return out.String, nil
}
