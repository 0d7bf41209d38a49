package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// lifeRules are a Receiver that wakes every source, and an Alert that tells the site of everything.
const lifeRules = `
{apiVersion: v1, kind: Secret, metadata: {name: rules, namespace: life}, stringData: {token: %[1]q}}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: sources, namespace: life}
spec:
  type: generic
  secretRef: {name: rules}
  resources:
  - {kind: GitRepository, name: git}
  - {kind: OCIRepository, name: oci}
  - {kind: Bucket, name: bucket}
  - {kind: HelmRepository, name: charts}
  - {kind: HelmChart, name: life-registry}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: site, namespace: life}
spec: {type: generic-hmac, address: %[2]q, secretRef: {name: rules}}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: everything, namespace: life}
spec:
  providerRef: {name: site}
  eventMetadata: {cluster: e2e}
  eventSources:
  - {kind: GitRepository, name: "*"}
  - {kind: OCIRepository, name: "*"}
  - {kind: Bucket, name: "*"}
  - {kind: HelmRepository, name: "*"}
  - {kind: HelmChart, name: "*"}
  - {kind: Kustomization, name: "*"}
  - {kind: HelmRelease, name: "*"}
`

const lifeToken = "token-of-the-life-test"

// Every kind lives its life on nodes: a source becomes an artifact, the artifact a running workload; a change becomes the
// workload's next state; and with its consumer the workload goes.
func TestTheLifeOfEveryKind(t *testing.T) {
	applyText(t, space(lifeNamespace))
	t.Cleanup(func() {
		kubectlQuietly("delete", "kustomization,helmrelease,pack", "-n", lifeNamespace, "--all")
		kubectlQuietly("delete", "namespace", lifeNamespace, "--wait=false")
	})
	s := startSite(t, "site")
	applyText(t, fmt.Sprintf(lifeRules, lifeToken, s.inside+"/letters"))
	kubectl(t, "wait", "receiver/sources", "-n", lifeNamespace, "--for=condition=Ready", "--timeout=60s")
	r := newRepository(t, "life")
	all := deliveries(t, s, r)
	var manifests []string
	for _, d := range all {
		d.publish(t, "0.1.0")
		manifests = append(manifests, d.manifest)
	}
	start := time.Now()
	applyText(t, strings.Join(manifests, "\n---\n"))
	for _, d := range all {
		d.runs(t, "0.1.0")
	}
	t.Logf("%d deliveries run %s after they were applied", len(all), time.Since(start).Round(time.Millisecond))

	for _, d := range all {
		d.publish(t, "0.2.0")
	}
	start = time.Now()
	wakeSources(t)
	for _, d := range all {
		d.runs(t, "0.2.0")
	}
	t.Logf("%d deliveries run their next version %s after the webhook", len(all), time.Since(start).Round(time.Millisecond))
	for _, d := range all {
		d.wasTold(t, s)
	}
	failureIsTold(t, s, r)
	ends(t, all)
}

// wakeSources tells the Receiver that there is something new.
func wakeSources(t *testing.T) {
	t.Helper()
	path := kubectl(t, "get", "receiver", "sources", "-n", lifeNamespace, "-o", "jsonpath={.status.webhookPath}")
	if code, body := send(t, http.MethodPost, edge(t, "peyk.localhost")+path, "", "application/json", strings.NewReader("{}")); code != http.StatusOK {
		t.Fatalf("the webhook answers %d: %s", code, body)
	}
}

// runs waits until the workload runs in a version, and checks what the source and its consumer say of it.
func (d delivery) runs(t *testing.T, version string) {
	t.Helper()
	soon(t, 2*time.Minute, func() error {
		_, err := command(t.Context(), nil, "kubectl", "wait", "configmap/"+d.name, "-n", lifeNamespace, "--for=jsonpath={.data.version}="+version, "--timeout=5s")
		if err != nil {
			status, message := ready(t, d.consumer, lifeNamespace, d.name)
			err = fmt.Errorf("%s %s is %q, %s: %w", d.consumer, d.name, status, message, err)
		}
		return err
	})
	kubectl(t, "wait", d.consumer+"/"+d.name, "-n", lifeNamespace, "--for=condition=Ready", "--timeout=120s")
	kubectl(t, "rollout", "status", "deployment/"+d.name, "-n", lifeNamespace, "--timeout=60s")
	if got := kubectl(t, "get", "pods", "-n", lifeNamespace, "-l", "app="+d.name+",version="+version, "-o", "jsonpath={.items[*].status.phase}"); got != "Running" {
		t.Errorf("%s: the pods of version %s are %q, want one that is Running", d.name, version, got)
	}
	object, revision := d.name, "{.status.artifact.revision}"
	switch d.source {
	case "HelmChart": // named after the HelmRelease, with its namespace
		object = lifeNamespace + "-" + d.name
	case "PackRepository":
		revision = "{.status.revision}"
	}
	if got := kubectl(t, "get", d.source, object, "-n", lifeNamespace, "-o", "jsonpath="+revision); got == "" {
		t.Errorf("%s %s has no revision", d.source, object)
	}
}

// told is what a letter says.
type told struct {
	InvolvedObject struct{ Kind, Name, Namespace string }
	Severity       string
	Message        string
	Metadata       map[string]string
}

// readLetters returns what the Alert has delivered. Each letter proves whom it is from.
func readLetters(t *testing.T, s *site) []told {
	t.Helper()
	var all []told
	for _, l := range s.letters(t, "/letters") {
		mac := hmac.New(sha256.New, []byte(lifeToken))
		mac.Write([]byte(l.Body))
		if got, want := l.Header.Get("X-Signature"), fmt.Sprintf("sha256=%x", mac.Sum(nil)); got != want {
			t.Fatalf("the signature is %q, want %q of %s", got, want, l.Body)
		}
		var event told
		if err := json.Unmarshal([]byte(l.Body), &event); err != nil {
			t.Fatal(err)
		}
		all = append(all, event)
	}
	return all
}

// wasTold waits for the letters on both versions of what consumes the source, and on the source. There are none on Packs,
// which Alerts cannot name, nor on ExternalArtifacts, which are other programs' to tell of.
func (d delivery) wasTold(t *testing.T, s *site) {
	t.Helper()
	if d.consumer == "Pack" {
		return
	}
	soon(t, 90*time.Second, func() error {
		count := map[string]int{}
		for _, l := range readLetters(t, s) {
			if l.Metadata["cluster"] != "e2e" || l.InvolvedObject.Namespace != lifeNamespace {
				return fmt.Errorf("a letter is not of this Alert: %+v", l)
			}
			if l.Severity == "info" && strings.HasSuffix(l.InvolvedObject.Name, d.name) {
				count[l.InvolvedObject.Kind]++
			}
		}
		if count[d.consumer] < 2 || d.source != "ExternalArtifact" && count[d.source] < 2 {
			return fmt.Errorf("%s: the letters are %v, want two on %s and two on %s", d.name, count, d.source, d.consumer)
		}
		return nil
	})
}

// failureIsTold breaks what a Kustomization applies. What ran goes on.
func failureIsTold(t *testing.T, s *site, r *repository) {
	t.Helper()
	r.push(t, map[string]string{"app/all.yaml": "kind: [broken\n"})
	wakeSources(t)
	soon(t, 90*time.Second, func() error {
		for _, l := range readLetters(t, s) {
			if l.Severity == "error" && l.InvolvedObject.Kind == "Kustomization" && strings.Contains(l.Message, "app/all.yaml") {
				return nil
			}
		}
		return fmt.Errorf("no letter tells of the failure")
	})
	if got := kubectl(t, "get", "pods", "-n", lifeNamespace, "-l", "app=git,version=0.2.0", "-o", "jsonpath={.items[*].status.phase}"); got != "Running" {
		t.Errorf("what ran before the failure is %q, want Running", got)
	}
}

// ends deletes what consumes, whose workloads go with it, and then everything else, which nothing holds back.
func ends(t *testing.T, all []delivery) {
	t.Helper()
	kubectl(t, "delete", "kustomization,helmrelease,pack", "-n", lifeNamespace, "--all", "--timeout=90s")
	for _, d := range all {
		kubectl(t, "wait", "deployment/"+d.name, "configmap/"+d.name, "-n", lifeNamespace, "--for=delete", "--timeout=60s")
	}
	if out := try(t, "", "helm", "list", "-n", lifeNamespace, "-q"); strings.TrimSpace(out) != "" {
		t.Errorf("releases are left: %s", out)
	}
	const rest = "gitrepository,ocirepository,bucket,externalartifact,helmrepository,helmchart,packrepository,receiver,alert,provider"
	kubectl(t, "delete", rest, "-n", lifeNamespace, "--all", "--timeout=60s")
	if out := kubectl(t, "get", rest, "-n", lifeNamespace, "-o", "name"); out != "" {
		t.Errorf("objects are left: %s", out)
	}
}
