package admission_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// app are values of simplepack, with more of its workload.
func app(tag, more string) string {
	return "values: {gonbad: {workloads: {main: {containers: {main: {image: {repository: nginx, tag: '" + tag + "'}}}" + more + "}}}}"
}

var fine = app("1", "")

func TestWhatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.namespace("refused")
	group := func(kind, spec string) string {
		return "{apiVersion: k8s.kubit.ir/v1alpha1, kind: " + kind + ", metadata: {name: x, namespace: refused}, spec: " + spec + "}"
	}
	workload := func(kind, value string) string {
		return "{apiVersion: apps/v1, kind: " + kind + `, metadata: {name: x, namespace: refused, annotations: {pack-operator.k8s.kubit.ir/watch-to-redeploy: "` + value + `"}},
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}}`
	}
	cases := map[string]struct{ object, refused, warned string }{
		"a Pack that works":                      {pack("refused", "x", "{chart: {name: simplepack}, "+fine+"}"), "", ""},
		"wrong constraint":                       {pack("refused", "x", `{chart: {name: simplepack, version: "~=1"}}`), "~= needs two or three numbers", ""},
		"no such version":                        {pack("refused", "x", `{chart: {name: simplepack, version: "99.1.1"}}`), "spec.chart.version: no version of chart simplepack", ""},
		"no such chart":                          {pack("refused", "x", `{chart: {name: nope, repository: {name: kubit-paas}}}`), `chart "nope" is not in`, ""},
		"values that the schema refuses":         {pack("refused", "x", `{chart: {name: simplepack}, `+app("1", ", replicaCount: many")+`}`), "replicaCount", ""},
		"values that the schema refuses by vars": {pack("refused", "x", `{chart: {name: simplepack}, vars: {COUNT: many}, `+app("1", ", replicaCount: '{{ vars.COUNT }}'")+`}`), "replicaCount", ""},
		"a var that refers to itself":            {pack("refused", "x", `{chart: {name: simplepack}, vars: {A: "{{ vars.A }}"}, `+fine+`}`), "refers to itself", ""},
		"a list as a var":                        {pack("refused", "x", `{chart: {name: simplepack}, vars: {A: [1]}, `+fine+`}`), "spec.vars.A", ""},
		"a damaged vault text":                   {pack("refused", "x", `{chart: {name: simplepack}, vars: {A: "$KUBIT_VAULT;9"}, `+fine+`}`), "", "spec.vars.A"},
		"a name too long for Helm":               {pack("refused", strings.Repeat("x", 54), `{chart: {name: simplepack}, `+fine+`}`), "metadata.name", ""},
		"a var that may come":                    {pack("refused", "x", `{chart: {name: simplepack}, `+app("{{ vars.TAG }}", "")+`}`), "", "var TAG is not defined"},
		"a repository that may come":             {pack("refused", "x", `{chart: {name: simplepack, repository: {kind: PackRepository, name: later}}, `+fine+`}`), "", "PackRepository/refused/later"},
		"an unreadable list to watch": {
			`{apiVersion: k8s.kubit.ir/v1alpha1, kind: Pack, metadata: {namespace: refused, name: x, annotations: {pack-operator.k8s.kubit.ir/watch-to-redeploy: "pod/a"}}, spec: {chart: {name: simplepack}, ` + fine + `}}`,
			"cannot be watched", "",
		},
		"a Deployment":                     {workload("Deployment", "configmap/a, secret/b"), "", ""},
		"a Deployment with a wrong list":   {workload("Deployment", "configmap:a"), "not of the form KIND/NAME", ""},
		"a StatefulSet with a wrong list":  {workload("StatefulSet", "secret/a/b"), "own namespace", ""},
		"a password in a URL":              {group("PackRepository", "{url: 'https://u:top-secret@charts.example.org'}"), "spec.secretRef", ""},
		"no built-in charts":               {group("ClusterPackRepository", "{url: 'builtin://nope'}"), "kubit-paas", ""},
		"ssh without git":                  {group("PackRepository", "{url: 'ssh://git@example.org/a'}"), "add spec.git", ""},
		"a signature that cannot be there": {group("PackRepository", "{url: 'https://example.org/a', verify: {provider: cosign, secretRef: {name: a}}}"), "use pgp", ""},
		"a repository":                     {group("PackRepository", "{url: 'https://example.org/a'}"), "", ""},
		"vars of a Config":                 {group("Config", "{vars: {A: 1, B: x, C: null}}"), "", ""},
		"wrong vars of a Config":           {group("Config", "{vars: {A: {b: c}, 'b c': 1}}"), "spec.vars", ""},
		"a selector that selects nothing":  {group("ClusterConfig", "{namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}}"), "spec.namespaceSelector", ""},
		"a reflector without targets":      {group("SecretReflector", "{secretRef: {name: a}, targets: {}}"), "spec.targets", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w.warned()
			object := w.object(c.object)
			if strings.HasPrefix(object.GetKind(), "Cluster") {
				object.SetNamespace("")
			}
			err := w.client.Create(t.Context(), object, client.DryRunAll)
			if said := said(err); (err != nil) != (c.refused != "") || !strings.Contains(said, c.refused) || strings.Contains(said, "top-secret") {
				t.Errorf("error %v, want one that says %q", err, c.refused)
			}
			if err != nil && !apierrors.IsInvalid(err) {
				t.Errorf("reason %s, want Invalid", apierrors.ReasonForError(err))
			}
			if warned := w.warned(); (warned != "") != (c.warned != "") || !strings.Contains(warned, c.warned) {
				t.Errorf("warnings %q, want %q", warned, c.warned)
			}
		})
	}
}

// What is in the cluster already can be labelled, annotated, mended and deleted, however wrong it is; and some namespaces are
// nobody's business.
func TestWhatIsNeverBlocked(t *testing.T) {
	w := newWorld(t)
	for _, namespace := range []string{"kube-system", system} {
		w.must(w.client.Create(t.Context(), w.object(pack(namespace, "wrong", `{chart: {name: simplepack, version: "~=1"}}`)), client.DryRunAll))
	}
	w.namespace("unblocked")
	// Its var makes the Pack wrong after it was let in.
	w.must(w.client.Create(t.Context(), w.object(pack("unblocked", "x", `{suspend: true, chart: {name: simplepack, version: "{{ vars.V }}"}}`))))
	w.must(w.client.Create(t.Context(), w.object("{apiVersion: k8s.kubit.ir/v1alpha1, kind: Config, metadata: {name: x, namespace: unblocked}, spec: {vars: {V: '~=1'}}}")))
	key := client.ObjectKey{Namespace: "unblocked", Name: "x"}
	live := &packv1.Pack{}
	w.soon("a change of the spec is refused", func() string {
		w.must(w.client.Get(t.Context(), key, live))
		live.Spec.AutoUpgrade = true
		if err := w.client.Update(t.Context(), live, client.DryRunAll); !apierrors.IsInvalid(err) {
			return "let in: " + said(err)
		}
		return ""
	})
	w.must(w.client.Get(t.Context(), key, live))
	live.Annotations = map[string]string{"a": "b"}
	w.must(w.client.Update(t.Context(), live))
	live.Status.Phase = packv1.PackInvalid
	w.must(w.client.Status().Update(t.Context(), live))
	w.must(w.client.Delete(t.Context(), live))
	w.soon("it is gone", func() string {
		if err := w.client.Get(t.Context(), key, live); !apierrors.IsNotFound(err) {
			return "it is there: " + said(err)
		}
		return ""
	})
}

// TestLatency measures what the check adds to a write: the time from question to answer, of a Pack whose chart is at hand.
func TestLatency(t *testing.T) {
	w := newWorld(t)
	object, err := json.Marshal(w.object(pack("latency", "x", "{chart: {name: simplepack}, vars: {COUNT: 1}, "+fine+"}")).Object)
	w.must(err)
	question, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Operation: admissionv1.Create, Namespace: "latency", Name: "x", Object: runtime.RawExtension{Raw: object},
			Kind: metav1.GroupVersionKind{Group: packv1.GroupVersion.Group, Version: packv1.GroupVersion.Version, Kind: packv1.PackKind},
		},
	})
	w.must(err)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // it is asked for its speed only
	defer c.CloseIdleConnections()
	took := make([]time.Duration, 100)
	before := processorTime(t)
	for i := range took {
		start := time.Now()
		answer, err := c.Post(fmt.Sprintf("https://127.0.0.1:%d/admission", apiPort), "application/json", bytes.NewReader(question)) //nolint:noctx // this test's server
		w.must(err)
		text, err := io.ReadAll(answer.Body)
		w.must(err)
		w.must(answer.Body.Close())
		took[i] = time.Since(start)
		if !strings.Contains(string(text), `"allowed":true`) || strings.Contains(string(text), "warnings") {
			t.Fatalf("answer %s", text)
		}
	}
	slices.Sort(took)
	// On a busy machine the time on the wall says nothing; what others of this process do counts here, too.
	each := (processorTime(t) - before) / time.Duration(len(took))
	t.Logf("half of the answers came within %s, 95 of 100 within %s, for %s of processor time each", took[len(took)/2], took[len(took)*95/100], each)
	if limit := 20 * time.Millisecond; each > limit {
		t.Errorf("an answer takes %s of processor time, want less than %s", each, limit)
	}
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
