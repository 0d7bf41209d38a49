package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/testkit"
)

func TestNodesAreReadyAndPodsRun(t *testing.T) {
	var nodes, pods struct {
		Items []struct {
			Metadata struct{ Name, Namespace string }
			Status   struct {
				Phase      string
				Conditions []struct{ Type, Status string }
			}
		}
	}
	if err := json.Unmarshal([]byte(kubectl(t, "get", "nodes", "-o", "json")), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		if !slices.Contains(n.Status.Conditions, struct{ Type, Status string }{"Ready", "True"}) {
			t.Errorf("node %s is not ready: %v", n.Metadata.Name, n.Status.Conditions)
		}
	}
	soon(t, time.Minute, func() error {
		if err := json.Unmarshal([]byte(kubectl(t, "get", "pods", "-A", "-o", "json")), &pods); err != nil {
			return err
		}
		for _, p := range pods.Items {
			if !slices.Contains(p.Status.Conditions, struct{ Type, Status string }{"Ready", "True"}) {
				return fmt.Errorf("pod %s/%s is %s", p.Metadata.Namespace, p.Metadata.Name, p.Status.Phase)
			}
		}
		return nil
	})
	if len(nodes.Items) == 0 || len(pods.Items) < 5 {
		t.Errorf("%d nodes and %d pods, want at least 1 and 5", len(nodes.Items), len(pods.Items))
	}
}

func TestStockHelmShowsTheReleases(t *testing.T) {
	var releases []struct{ Name, Namespace, Status, Chart string }
	if err := json.Unmarshal([]byte(try(t, "", "helm", "list", "-A", "-o", "json")), &releases); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, r := range releases {
		found[r.Namespace+"/"+r.Name] = r.Status
	}
	for _, want := range []string{"base/postgres", "base/redis", "base/sample-app"} {
		if found[want] != "deployed" {
			t.Errorf("release %s is %q, want deployed", want, found[want])
		}
		pack := strings.TrimPrefix(want, "base/")
		if phase := kubectl(t, "get", "pack", "-n", "base", pack, "-o", "jsonpath={.status.phase}"); phase != "Applied" {
			t.Errorf("Pack %s is %q, want Applied", pack, phase)
		}
	}
}

func TestEverySamplePackIsAccepted(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testkit.Samples(t), "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^kind: Pack$`).Match(text) {
			continue
		}
		if filepath.Base(file) == "pack-skeleton.yaml" {
			continue // an empty form: its name and chart are null, which no API server takes
		}
		tried++
		namespace := regexp.MustCompile(`(?m)^  namespace: (\S+)`).FindSubmatch(text)
		if namespace != nil {
			applyText(t, fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: %s}}", namespace[1]))
		}
		if _, err := command(t.Context(), nil, "kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", file); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
	if tried < 8 {
		t.Errorf("only %d Packs found", tried)
	}
}

func TestTheSeedsPostgresIsAppliedUnchanged(t *testing.T) {
	seed, err := os.ReadFile(filepath.Join(testkit.Samples(t), "seed", "postgres.pack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := os.ReadFile(filepath.Join(local.root, "samples", "ping", "deploy", "postgres.pack.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(seed, ours) {
		t.Error("the Pack that the demo applies is not the seed's, byte for byte")
	}
}

func TestPostgresAnswers(t *testing.T) {
	out := kubectl(t, "exec", "-n", "base", "postgres-0", "--", "psql", "postgres://user:password@postgres.base:5432/user", "-tAc", "select count(*) from pings")
	if strings.TrimSpace(out) == "" || strings.TrimSpace(out) == "0" {
		t.Errorf("psql answers %q, want the pings that the demo made", out)
	}
}

// The rest of the tests leave the sample application alone: it answers throughout.
func stillAnswers(t *testing.T) {
	t.Helper()
	if code, body := get(t, edge(t, "ping.localhost")+"/ping"); code != 200 {
		t.Errorf("the sample application answers %d: %s", code, body)
	}
}

func TestADeletedDeploymentComesBack(t *testing.T) {
	uid := func() string {
		return kubectl(t, "get", "deployment", "-n", "base", "sample-app-main", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
	}
	before := uid()
	kubectl(t, "delete", "deployment", "-n", "base", "sample-app-main")
	start := time.Now()
	soon(t, 90*time.Second, func() error {
		if now := uid(); now == "" || now == before {
			return fmt.Errorf("the Deployment is not back")
		}
		return nil
	})
	t.Logf("back after %s", time.Since(start).Round(time.Millisecond))
	soon(t, 90*time.Second, func() error {
		if out := kubectl(t, "get", "events", "-n", "base", "-o", "json"); !strings.Contains(out, "DriftCorrected") {
			return fmt.Errorf("no event tells of the repair")
		}
		return nil
	})
	kubectl(t, "rollout", "status", "deployment/sample-app-main", "-n", "base", "--timeout=60s")
	soon(t, 90*time.Second, func() error {
		if code, body := get(t, edge(t, "ping.localhost")+"/ping"); code != 200 {
			return fmt.Errorf("the sample application answers %d: %s", code, body)
		}
		return nil
	})
}
