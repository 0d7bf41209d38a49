package kustomize

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/kustomize"
)

// The manifests of random objects. Names are few, so that objects refer to others, and share names over kinds and
// namespaces. $A is the name, $N and $M are namespaces, and $X, $Y and $Z are names of others.
var randomManifests = []string{
	`apiVersion: apps/v1
kind: Deployment
metadata: {name: $A, namespace: $N, labels: {app: $A, tier: $X}, annotations: {note: $Y}}
spec:
  selector: {matchLabels: {app: $A}}
  template:
    metadata: {labels: {app: $A}}
    spec:
      serviceAccountName: $X
      imagePullSecrets: [{name: $Z}]
      containers:
      - name: web
        image: nginx:1.0
        envFrom: [{configMapRef: {name: $Y}}, {secretRef: {name: $Z}}]
        env: [{name: E, valueFrom: {configMapKeyRef: {name: $X, key: k}}}]
      volumes: [{name: v, persistentVolumeClaim: {claimName: $Y}}]
`,
	"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: $A\n  namespace: $N\ndata:\n  text: |\n    one\n    two $X\n  keep: |+\n    end\n\n",
	"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: $A}\ndata: {a: $X}\n",
	"# a comment\napiVersion: v1\nkind: Secret\nmetadata: {name: $A, namespace: $N}\nstringData: {a: $Y}\n",
	"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: $A, namespace: $N}\nsecrets: [{name: $X}]\n",
	"apiVersion: v1\nkind: Service\nmetadata: {name: $A, namespace: $N}\nspec: {selector: {app: $A}, ports: [{port: 80}]}\n",
	"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: $A, namespace: $N}\nspec: {volumeName: $X, storageClassName: $Y}\n",
	"apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: $A, namespace: $N}\nspec:\n  ingressClassName: $Y\n  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: $X, port: {number: 80}}}}]}}]\n",
	"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: $A, namespace: $N}\nspec: {maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: $X}}\n",
	"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: $A, namespace: $N}\nrules: [{apiGroups: [''], resources: [configmaps], resourceNames: [$X, $Y], verbs: [get]}]\n",
	"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: $A, namespace: $N}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: $X}\nsubjects: [{kind: ServiceAccount, name: $Y, namespace: $M}, {kind: ServiceAccount, name: default, namespace: $N}]\n",
	"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: $A}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: $X}\nsubjects: [{kind: ServiceAccount, name: $Y, namespace: $M}]\n",
	"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: $A}\nrules: [{apiGroups: [''], resources: [secrets], resourceNames: [$X], verbs: [get]}]\n",
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: $A}\n",
	"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: $A}\nprovisioner: $X\n",
	"apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: $A}\nspec: {storageClassName: $X, claimRef: {name: $Y, namespace: $N}}\n",
	"apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: $A}\nwebhooks: [{name: w.test, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {service: {name: $X, namespace: $N}}}]\n",
	"apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {name: $A}\nspec: {group: g, version: v1, service: {name: $X, namespace: $N}}\n",
	"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: $A}\nspec: {group: g, conversion: {strategy: Webhook, webhook: {clientConfig: {service: {name: $X, namespace: $N}}}}}\n",
	"apiVersion: example.test/v1\nkind: Widget\nmetadata: {name: $A, namespace: $N}\nspec: {image: 'nginx:1.0', ref: $X, containers: [{image: nginx}]}\n",
	"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: $A, namespace: $N}\nspec: {schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {serviceAccountName: $X, containers: [{name: c, image: 'registry.test/nginx@sha256:abc'}]}}}}}\n",
}

// randomFiles makes n objects over a few files. Few of them have the same id, as an error is all that would be tested then.
func randomFiles(r *rand.Rand, n int) map[string]string {
	pool := []string{"a", "b", "x-a", "x-b", "x-x-a", "web", "web-y", "x-web", "x-web-y", "ns1", "default"}
	for i := range n {
		pool = append(pool, fmt.Sprintf("n%d", i))
	}
	pick := func() string {
		if r.IntN(4) == 0 {
			return pool[r.IntN(11)]
		}
		return pool[r.IntN(len(pool))]
	}
	namespaces := []string{"ns1", "ns2", "default"}
	if r.IntN(3) > 0 {
		namespaces = []string{"ns1"} // spec.targetNamespace brings objects of several together
	}
	files, seen := map[string]string{}, map[string]bool{}
	for range n {
		kind := r.IntN(len(randomManifests))
		name, namespace := pick(), namespaces[r.IntN(len(namespaces))]
		key := fmt.Sprintf("%d %s", max(kind, 2), name)
		if seen[key] && r.IntN(200) > 0 {
			continue
		}
		seen[key] = true
		text := strings.NewReplacer("$A", name, "$N", namespace, "$M", namespaces[r.IntN(len(namespaces))],
			"$X", pick(), "$Y", pick(), "$Z", pick()).Replace(randomManifests[kind])
		file := fmt.Sprintf("f%d.yaml", r.IntN(6))
		if files[file] != "" {
			files[file] += []string{"---\n", "--- # next\n", "---\n---\n"}[r.IntN(3)]
		}
		files[file] += text
	}
	if r.IntN(2) == 0 {
		for name, text := range files {
			files[name] = strings.TrimRight(text, "\n")
		}
	}
	return files
}

// randomRequest asks for some of what a Kustomization can ask for.
func randomRequest(r *rand.Rand, files map[string]string) Request {
	var request Request
	some := func() bool { return r.IntN(3) == 0 }
	if some() {
		request.Namespace = []string{"prod", "ns1", "a"}[r.IntN(3)]
	}
	if some() {
		request.NamePrefix = "x-"
	}
	if some() {
		request.NameSuffix = "-y"
	}
	if some() {
		request.Images = []kustomize.Image{{Name: "nginx", NewTag: "2.0"}, {Name: "registry.test/nginx", NewName: "other", Digest: "sha256:def"}}
	}
	if some() {
		request.Labels = map[string]string{"team": "a"}
	}
	if some() {
		request.BuildMetadata = []string{"originAnnotations", "transformerAnnotations"}
	}
	for range r.IntN(4) {
		// The last ones are for objects that are not always there, and the build fails.
		request.Patches = append(request.Patches, randomPatches[r.IntN(len(randomPatches)-2*r.IntN(2))])
	}
	if some() {
		var list []string
		for name := range files {
			list = append(list, name)
		}
		files["kustomization.yaml"] = "resources: [" + strings.Join(list, ", ") + "]\n" +
			[]string{"", "commonLabels: {of: web}\n", "namePrefix: x-\n", "commonAnnotations: {from: a}\n", "labels: [{pairs: {z: web}, includeSelectors: true}]\n"}[r.IntN(5)]
	}
	return request
}

var randomPatches = []kustomize.Patch{
	{Patch: "- {op: add, path: /metadata/labels/patched, value: 'yes'}", Target: &kustomize.Selector{Kind: "Deployment"}},
	{Patch: "- {op: add, path: /spec/template/spec/serviceAccountName, value: web}", Target: &kustomize.Selector{Kind: "Deployment"}},
	{Patch: "- {op: add, path: /spec/template/spec/serviceAccountName, value: x-b}", Target: &kustomize.Selector{Kind: "Deployment", Name: "n.*"}},
	{Patch: "- {op: replace, path: /metadata/name, value: renamed}", Target: &kustomize.Selector{Kind: "Secret", Name: "a"}},
	{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: any}\nspec: {replicas: 3, template: {spec: {containers: [{name: web, envFrom: [{configMapRef: {name: b}}]}]}}}", Target: &kustomize.Selector{Kind: "Deployment", LabelSelector: "app"}},
	{Patch: "apiVersion: v1\nkind: Service\nmetadata: {name: any}\n$patch: delete", Target: &kustomize.Selector{Kind: "Service", Namespace: "ns1"}},
	{Patch: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: ns1}\nspec: {replicas: 4}"},
	{Patch: "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a, namespace: ns1}\nautomountServiceAccountToken: false"},
}

func encoded(t *testing.T, objects []Object) string {
	t.Helper()
	var text strings.Builder
	for _, o := range objects {
		data, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s %s\n", o.File, data)
	}
	return text.String()
}

// ways builds a request in parts of a few objects, and as a whole.
func ways(t *testing.T, request Request, size int) (parts []Object, partsErr error, whole []Object, wholeErr error) {
	t.Helper()
	open := func() (*treeFS, *prepared, *Request) {
		r := request
		tree, err := openTree(r.Root)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tree.close)
		p, err := prepare(tree, "/", &r)
		if err != nil {
			t.Fatal(err)
		}
		return tree, p, &r
	}
	tree, p, r := open()
	parts, partsErr = r.divided(tree, "/", p, size)
	tree, _, r = open()
	whole, wholeErr = r.whole(tree, "/", false)
	return parts, partsErr, whole, wholeErr
}

// What is built in parts is what is built as a whole, byte for byte.
func TestPartsAreAsTheWhole(t *testing.T) {
	const rounds = 50
	divided, failed := 0, 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 1))
		files := randomFiles(r, 20+r.IntN(40))
		request := randomRequest(r, files)
		request.Root = treeIn(t, t.TempDir(), files)
		parts, partsErr, whole, wholeErr := ways(t, request, 3+r.IntN(8))
		if errors.Is(partsErr, errWhole) {
			continue
		}
		divided++
		if wholeErr != nil || partsErr != nil {
			failed++
			if (wholeErr == nil) != (partsErr == nil) {
				t.Fatalf("seed %d: the error of the whole is %v, that of the parts %v", seed, wholeErr, partsErr)
			}
			continue
		}
		if got, want := encoded(t, parts), encoded(t, whole); got != want {
			t.Fatalf("seed %d: request %+v\nwhole:\n%s\nparts:\n%s", seed, request, want, got)
		}
	}
	t.Logf("%d of %d were divided, and %d of these failed both ways", divided, rounds, failed)
	if divided-failed < rounds/4 {
		t.Errorf("%d of %d were divided and %d of these failed: too few to tell", divided, rounds, failed)
	}
}

// Large sources are what it is for.
func TestLargeSourcesAreDivided(t *testing.T) {
	for name, request := range scaled {
		request.Root = fleet(t, 2*partSize)
		_, err, _, _ := ways(t, request, partSize)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A build in parts ends when nobody waits for it.
func TestAnAbandonedBuildEnds(t *testing.T) {
	asked := 0
	_, err := Build(Request{Root: fleet(t, 3*partSize), NamePrefix: "my-", Abandoned: func() bool { asked++; return asked > 1 }})
	if !errors.Is(err, errAbandoned) || asked != 2 {
		t.Errorf("error %v after it asked %d times, want that it was abandoned after 2", err, asked)
	}
}
