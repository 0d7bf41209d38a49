package faults_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// crowd are n Kustomizations of three objects each.
func crowd(t *testing.T, name string, n int) (r *repository, all []string, files func(value string) map[string]string) {
	t.Helper()
	namespace(t, name)
	files = func(value string) map[string]string {
		tree := map[string]string{}
		for i := range n {
			for j := range 3 {
				tree[fmt.Sprintf("%d/%d.yaml", i, j)] = configMap(name, fmt.Sprintf("o%d-%d", i, j), value)
			}
		}
		return tree
	}
	r = follow(t, name, files("0"))
	for i := range n {
		k := fmt.Sprintf("%s-%d", name, i)
		all = append(all, k)
		create(t, r.kustomization(k, fmt.Sprint(i)))
	}
	return r, all, files
}

func allHold(t *testing.T, namespace, want string, n int) {
	t.Helper()
	found := &corev1.ConfigMapList{}
	check(t, world.Client.List(t.Context(), found, client.InNamespace(namespace), client.HasLabels{"kustomize.toolkit.fluxcd.io/name"}))
	if len(found.Items) != n {
		t.Errorf("%d objects, want %d", len(found.Items), n)
	}
	for i := range found.Items {
		if got := found.Items[i].Data["value"]; got != want {
			t.Errorf("%s holds %q, want %q", found.Items[i].Name, got, want)
		}
	}
}

// The API server goes, with etcd, in the middle of an apply, and comes back.
func TestAPIServerCrash(t *testing.T) {
	r, all, files := crowd(t, "crash", 20)
	for round := range 3 {
		value := fmt.Sprint(round + 1)
		revision := r.push(t, files(value))
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond)
		check(t, world.Plane.Crash())
		time.Sleep(time.Second)
		check(t, world.Plane.Up())
		if !world.Operator.Running() {
			// What Kubernetes does with a container that ended.
			check(t, world.Operator.Start())
		}
		for _, name := range all {
			applied(t, name, revision, 2*time.Minute)
		}
		allHold(t, "crash", value, 3*len(all))
	}
}

// The control plane stalls for hundreds of milliseconds again and again, as it does on a slow disk.
func TestSlowControlPlane(t *testing.T) {
	r, all, files := crowd(t, "slow", 10)
	pids, err := world.Plane.Pids()
	check(t, err)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
			time.Sleep(700 * time.Millisecond)
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	})
	revision := r.push(t, files("1"))
	for _, name := range all {
		applied(t, name, revision, 2*time.Minute)
	}
	close(stop)
	<-done
	allHold(t, "slow", "1", 3*len(all))
}

// An admission webhook that changes what is applied: the result is accepted, and not repaired for ever.
func TestMutatingWebhook(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		calls.Add(1)
		mutate(t, w, req)
	}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	namespace(t, "mutated")
	create(t, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metaName("mutate.faults.example.org"),
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "mutate.faults.example.org", AdmissionReviewVersions: []string{"v1"},
			SideEffects: new(admissionregistrationv1.SideEffectClassNone),
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &server.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			NamespaceSelector: selector("kubernetes.io/metadata.name", "mutated"),
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"CREATE", "UPDATE"},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	})
	time.Sleep(2 * time.Second) // the API server takes webhooks in with a delay, and tells nobody
	r := follow(t, "mutated", map[string]string{"all/a.yaml": configMap("mutated", "a", "one")})
	create(t, r.kustomization("mutated", "all"))
	applied(t, "mutated", "", 90*time.Second)
	holds(t, "mutated", "a", "ONE")
	before := versionOf(t, "mutated", "a")
	asked := calls.Load()
	time.Sleep(4 * time.Second)
	if after := versionOf(t, "mutated", "a"); after != before || calls.Load() > asked+1 {
		t.Errorf("the object was written again and again: version %s, then %s; %d calls of the webhook in 4 s", before, after, calls.Load()-asked)
	}
	revision := r.push(t, map[string]string{"all/a.yaml": configMap("mutated", "a", "two")})
	applied(t, "mutated", revision, 90*time.Second)
	holds(t, "mutated", "a", "TWO")
}

// mutate answers an admission review with a patch that makes the value upper case.
func mutate(t *testing.T, w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Error(err)
		return
	}
	review := &admissionv1.AdmissionReview{}
	cm := &corev1.ConfigMap{}
	if err := json.Unmarshal(body, review); err != nil {
		t.Error(err)
		return
	}
	if err := json.Unmarshal(review.Request.Object.Raw, cm); err != nil {
		t.Error(err)
		return
	}
	answer := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	if value, ok := cm.Data["value"]; ok {
		answer.Patch = fmt.Appendf(nil, `[{"op":"replace","path":"/data/value","value":%q}]`, strings.ToUpper(value))
		answer.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	review.Response, review.Request = answer, nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		t.Error(err)
	}
}

// Webhooks that are forged, repeated, late and lost.
func TestWebhooks(t *testing.T) {
	namespace(t, "webhooks")
	r := follow(t, "webhooks", map[string]string{"all/a.yaml": configMap("webhooks", "a", "0")})
	create(t, r.kustomization("webhooks", "all"))
	token := base64.StdEncoding.EncodeToString([]byte("the-token-of-the-test"))
	hook := receiver(t, r.name, token)
	applied(t, "webhooks", "", 90*time.Second)
	r.Commit("main", "change", map[string]string{"all/a.yaml": configMap("webhooks", "a", "1")})

	for name, signature := range map[string]string{"none": "", "wrong": sign("another token", "{}"), "garbage": "sha256=zz", "of another body": sign(token, "{ }")} {
		if code := post(t, hook, signature, "{}"); code != http.StatusBadRequest {
			t.Errorf("a webhook with the signature %q got %d, want 400", name, code)
		}
	}
	time.Sleep(time.Second)
	if got, err := value("webhooks", "a"); err != nil || got != "0" {
		t.Errorf("forged webhooks had an effect: %q, %v", got, err)
	}
	for range 20 {
		if code := post(t, hook, sign(token, "{}"), "{}"); code != http.StatusOK {
			t.Errorf("a webhook got %d, want 200", code)
		}
	}
	holds(t, "webhooks", "a", "1")
	before := versionOf(t, "webhooks", "a")
	post(t, hook, sign(token, "{}"), "{}")
	time.Sleep(time.Second)
	if after := versionOf(t, "webhooks", "a"); after != before {
		t.Error("a repeated webhook wrote the object again")
	}
}
