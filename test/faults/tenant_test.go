package faults_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/api/crds"
	"github.com/peyk/peyk/internal/testkit"
)

// canary is in everything that the tenant must not get to see.
const canary = "canary-48151623"

// reach is an object of the tenant that refers to what another tenant has. The object's name, and where it says
// TREASURE the name of the other's object, are filled in.
type reach struct {
	// field is the reference, as Kind.spec.field.
	field string
	// spec of the object, in YAML.
	spec string
	// says is what the Ready condition says. Empty: the name of what is not in the tenant's namespace.
	says string
}

const forbidden = "cross-namespace references are switched off"

// reaches has every reference that there is. TestNoReferenceIsForgotten sees to that.
var reaches = []reach{
	{"Kustomization.sourceRef", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: treasure, namespace: victim}}`, forbidden},
	{"Kustomization.dependsOn", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, dependsOn: [{name: treasure, namespace: victim}]}`, forbidden},
	{"Kustomization.dependsOn", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, dependsOn: [{name: treasure, namespace: victim, readyExpr: "dep.spec.path.startsWith('./all')"}]}`, forbidden},
	{"Kustomization.healthChecks", `{interval: 1h, prune: true, path: ./all, timeout: 2s, sourceRef: {kind: GitRepository, name: own}, healthChecks: [{apiVersion: v1, kind: Secret, name: treasure, namespace: victim}]}`, `cannot get resource "secrets"`},
	{"Kustomization.decryption.secretRef", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, decryption: {provider: sops, secretRef: {name: TREASURE}}}`, ""},
	{"Kustomization.kubeConfig.secretRef", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, kubeConfig: {secretRef: {name: TREASURE}}}`, ""},
	{"Kustomization.kubeConfig.configMapRef", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, kubeConfig: {configMapRef: {name: TREASURE}}}`, "configMapRef"},
	{"Kustomization.postBuild.substituteFrom", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, postBuild: {substituteFrom: [{kind: Secret, name: TREASURE}]}}`, ""},
	{"Kustomization.postBuild.substituteFrom", `{interval: 1h, prune: true, path: ./all, sourceRef: {kind: GitRepository, name: own}, postBuild: {substituteFrom: [{kind: ConfigMap, name: TREASURE}]}}`, ""},
	{"HelmRelease.chart.spec.sourceRef", `{interval: 1h, chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: treasure, namespace: victim}}}}`, forbidden},
	{"HelmRelease.chartRef", `{interval: 1h, chartRef: {kind: OCIRepository, name: treasure, namespace: victim}}`, forbidden},
	{"HelmRelease.dependsOn", `{interval: 1h, chartRef: {kind: OCIRepository, name: own}, dependsOn: [{name: treasure, namespace: victim}]}`, forbidden},
	{"HelmRelease.dependsOn", `{interval: 1h, chartRef: {kind: OCIRepository, name: own}, dependsOn: [{name: treasure, namespace: victim, readyExpr: "true"}]}`, forbidden},
	{"HelmRelease.valuesFrom", `{interval: 1h, chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: own}}}, valuesFrom: [{kind: Secret, name: TREASURE}]}`, ""},
	{"HelmRelease.valuesFrom", `{interval: 1h, chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: own}}}, valuesFrom: [{kind: ConfigMap, name: TREASURE}]}`, ""},
	{"HelmRelease.kubeConfig.secretRef", `{interval: 1h, chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: own}}}, kubeConfig: {secretRef: {name: TREASURE}}}`, ""},
	{"HelmRelease.kubeConfig.configMapRef", `{interval: 1h, chart: {spec: {chart: ./chart, sourceRef: {kind: GitRepository, name: own}}}, kubeConfig: {configMapRef: {name: TREASURE}}}`, "configMapRef"},
	{"HelmChart.sourceRef", `{interval: 1h, chart: ./chart, sourceRef: {kind: GitRepository, name: treasure}}`, ""},
	{"HelmChart.verify.secretRef", `{interval: 1h, chart: x, version: 1.0.0, sourceRef: {kind: HelmRepository, name: oci}, verify: {provider: cosign, secretRef: {name: TREASURE}}}`, ""},
	{"HelmRepository.secretRef", `{interval: 1h, url: "http://127.0.0.1:1/", secretRef: {name: TREASURE}}`, ""},
	{"HelmRepository.certSecretRef", `{interval: 1h, url: "https://127.0.0.1:1/", certSecretRef: {name: TREASURE}}`, ""},
	{"OCIRepository.secretRef", `{interval: 1h, url: "oci://127.0.0.1:1/x", secretRef: {name: TREASURE}}`, ""},
	{"OCIRepository.certSecretRef", `{interval: 1h, url: "oci://127.0.0.1:1/x", certSecretRef: {name: TREASURE}}`, ""},
	{"OCIRepository.proxySecretRef", `{interval: 1h, url: "oci://127.0.0.1:1/x", proxySecretRef: {name: TREASURE}}`, ""},
	{"OCIRepository.serviceAccountName", `{interval: 1h, url: "oci://127.0.0.1:1/x", serviceAccountName: TREASURE}`, ""},
	{"GitRepository.secretRef", `{interval: 1h, url: "https://127.0.0.1:1/x", secretRef: {name: TREASURE}}`, ""},
	{"GitRepository.proxySecretRef", `{interval: 1h, url: "https://127.0.0.1:1/x", proxySecretRef: {name: TREASURE}}`, ""},
	{"GitRepository.verify.secretRef", `{interval: 1h, url: OWN, ref: {branch: main}, verify: {mode: HEAD, secretRef: {name: TREASURE}}}`, ""},
	{"GitRepository.include.repository", `{interval: 1h, url: OWN, ref: {branch: main}, include: [{repository: {name: TREASURE}, fromPath: ., toPath: in}]}`, ""},
	{"Bucket.secretRef", `{interval: 1h, bucketName: x, endpoint: "127.0.0.1:1", provider: generic, insecure: true, secretRef: {name: TREASURE}}`, ""},
	{"Bucket.certSecretRef", `{interval: 1h, bucketName: x, endpoint: "127.0.0.1:1", provider: generic, certSecretRef: {name: TREASURE}}`, ""},
	{"Bucket.proxySecretRef", `{interval: 1h, bucketName: x, endpoint: "127.0.0.1:1", provider: generic, proxySecretRef: {name: TREASURE}}`, ""},
	{"Receiver.secretRef", `{type: generic, secretRef: {name: TREASURE}, resources: [{kind: GitRepository, name: own}]}`, ""},
	{"PackRepository.secretRef", `{url: "http://127.0.0.1:1/", secretRef: {name: TREASURE}}`, ""},
	{"PackSync.secretRef", `{url: "https://127.0.0.1:1/x", interval: 1h, secretRef: {name: TREASURE}}`, ""},
	{"PackSync.signingKeyRef", `{url: OWN, ref: {branch: main}, interval: 1h, signingKeyRef: {name: TREASURE}}`, ""},
	{"SecretReflector.secretRef", `{secretRef: {name: TREASURE}, targets: {namespaces: [elsewhere]}}`, ""},
	{"Pack.chart.repository", `{chart: {name: x, version: 1.0.0, repository: {kind: PackRepository, name: TREASURE}}}`, ""},
}

// elsewhere are the references that other tests are about, and the fields that look like references and are none.
var elsewhere = map[string]string{
	"Alert.eventSources":                                 "testEvents",
	"Alert.providerRef":                                  "testEvents",
	"Provider.secretRef":                                 "testEvents",
	"Provider.certSecretRef":                             "testEvents",
	"Provider.proxySecretRef":                            "testEvents",
	"Receiver.resources":                                 "testEvents",
	"Provider.serviceAccountName":                        "only of clouds, whose identities are not supported",
	"GitRepository.serviceAccountName":                   "only of clouds, whose identities are not supported",
	"Bucket.serviceAccountName":                          "only of clouds, whose identities are not supported",
	"Bucket.sts.secretRef":                               "security token services are not supported",
	"Bucket.sts.certSecretRef":                           "security token services are not supported",
	"Kustomization.decryption.serviceAccountName":        "only of clouds, whose identities are not supported",
	"Kustomization.serviceAccountName":                   "impersonated in the object's own namespace: the tests of its controller",
	"HelmRelease.serviceAccountName":                     "impersonated in the object's own namespace: the tests of its controller",
	"HelmRelease.chart.spec.verify.secretRef":            "copied to the HelmChart, which is in the same namespace",
	"OCIRepository.verify.secretRef":                     "read as HelmChart.verify.secretRef is, once the registry has answered",
	"OCIRepository.verify.trustedRootSecretRef":          "keyless verification is not supported",
	"ExternalArtifact.sourceRef":                         "says where it comes from and is not followed",
	"ClusterPackRepository.secretRef":                    "is no tenant's",
	"ClusterPackRepository.verify.secretRef":             "is no tenant's",
	"PackRepository.verify.secretRef":                    "read as PackRepository.secretRef is, once the repository has answered",
	"PackSync.serviceAccountName":                        "impersonated in the object's own namespace: the tests of its controller",
	"PackSync.author":                                    "a person",
	"Kustomization.ignore.target":                        "a selector of objects that were built",
	"Kustomization.patches.target":                       "a selector of objects that were built",
	"Kustomization.images":                               "the name of an image",
	"HelmRelease.driftDetection.ignore.target":           "a selector of objects that were built",
	"HelmRelease.postRenderers.kustomize.patches.target": "a selector of objects that were built",
	"HelmRelease.postRenderers.kustomize.images":         "the name of an image",
	"HelmRelease.install.strategy":                       "the name of a strategy",
	"HelmRelease.upgrade.strategy":                       "the name of a strategy",
	"HelmRelease.waitStrategy":                           "the name of a strategy",
	"HelmRelease.test.filters":                           "the name of a test",
	"Receiver.oidcProviders.variables":                   "the name of a variable",
	"GitRepository.ref":                                  "the name of a Git reference",
	"Pack.chart":                                         "the name of a chart",
}

// A field that somebody adds, and that refers to something, is in the table above or the reason why not.
func TestNoReferenceIsForgotten(t *testing.T) {
	known := maps.Clone(elsewhere)
	for _, r := range reaches {
		known[r.field] = ""
	}
	definitions, err := crds.All()
	check(t, err)
	for _, definition := range definitions {
		kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
		for _, v := range versions {
			if version := v.(map[string]any); version["storage"] == true {
				spec, _, _ := unstructured.NestedMap(version, "schema", "openAPIV3Schema", "properties", "spec")
				for _, field := range referencesIn(spec, kind) {
					if _, ok := known[field]; !ok {
						t.Errorf("%s is not in the table", field)
					}
				}
			}
		}
	}
}

// referencesIn lists the fields of a schema that name something: objects with a name, and names of service accounts.
func referencesIn(of map[string]any, path string) []string {
	var all []string
	properties, _, _ := unstructured.NestedMap(of, "properties")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		field, _ := properties[name].(map[string]any)
		if items, ok := field["items"].(map[string]any); ok {
			field = items
		}
		inside, _, _ := unstructured.NestedMap(field, "properties")
		if _, named := inside["name"]; named || name == "serviceAccountName" {
			all = append(all, path+"."+name)
		}
		all = append(all, referencesIn(field, path+"."+name)...)
	}
	return all
}

var groups = map[string]schema.GroupVersion{
	"Kustomization": {Group: "kustomize.toolkit.fluxcd.io", Version: "v1"}, "HelmRelease": {Group: "helm.toolkit.fluxcd.io", Version: "v2"},
	"Receiver": {Group: "notification.toolkit.fluxcd.io", Version: "v1"}, "Provider": {Group: "notification.toolkit.fluxcd.io", Version: "v1beta3"},
	"Alert": {Group: "notification.toolkit.fluxcd.io", Version: "v1beta3"},
	"Pack":  {Group: "k8s.kubit.ir", Version: "v1alpha1"}, "PackRepository": {Group: "k8s.kubit.ir", Version: "v1alpha1"},
	"PackSync": {Group: "peyk.dev", Version: "v1alpha1"}, "SecretReflector": {Group: "k8s.kubit.ir", Version: "v1alpha1"},
	"RoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1"},
	"Secret":      {Version: "v1"}, "ConfigMap": {Version: "v1"}, "ServiceAccount": {Version: "v1"},
}

// thing makes an object. Body is the spec, or what an object of Kubernetes' own has at its top.
func thing(t *testing.T, kind, namespace, name, body string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{}}
	group, ok := groups[kind]
	if !ok {
		group = schema.GroupVersion{Group: "source.toolkit.fluxcd.io", Version: "v1"}
	}
	var content map[string]any
	if err := yaml.Unmarshal([]byte(body), &content); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if group.Group == "" || kind == "RoleBinding" {
		obj.Object = content
	} else {
		obj.Object["spec"] = content
	}
	obj.SetGroupVersionKind(group.WithKind(kind))
	obj.SetNamespace(namespace)
	obj.SetName(name)
	return obj
}

// tenants restarts the operator so that it keeps tenants apart, and makes two: the victim has a treasure of every kind.
func tenants(t *testing.T) *repository {
	t.Helper()
	check(t, world.Operator.Stop())
	common := world.Operator
	var err error
	world.Operator, err = testkit.NewOperator(world.Plane.Kubeconfig, t.TempDir(), "--multi-tenant")
	check(t, err)
	check(t, world.Operator.Start())
	t.Cleanup(func() {
		check(t, world.Operator.Stop())
		world.Operator = common
		check(t, common.Start())
		check(t, common.Ready(context.Background()))
	})
	check(t, world.Operator.Ready(t.Context()))
	namespace(t, "victim")
	namespace(t, "tenant")
	r := follow(t, "tenants", map[string]string{
		"all/a.yaml":             "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: tenant}\ndata: {value: \"$${secret:=none}\"}\n",
		"chart/Chart.yaml":       "apiVersion: v2\nname: chart\nversion: 1.0.0\ndescription: " + canary + "\n",
		"chart/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart}\ndata: {value: {{ .Values.secret | quote }}}\n",
	})
	data := `{secret: %[1]s, token: %[1]s, username: %[1]s, password: %[1]s, identity: %[1]s, known_hosts: %[1]s, value: %[1]s, values.yaml: %[1]s, a.agekey: %[1]s,
		accesskey: %[1]s, secretkey: %[1]s, ca.crt: %[1]s, tls.crt: %[1]s, tls.key: %[1]s, address: %[1]s, cosign.pub: %[1]s, author.asc: %[1]s, .dockerconfigjson: %[1]s}`
	for _, obj := range []client.Object{
		thing(t, "Secret", "victim", "treasure", "stringData: "+fmt.Sprintf(data, canary)),
		thing(t, "ConfigMap", "victim", "treasure", "data: "+fmt.Sprintf(data, canary)),
		thing(t, "ServiceAccount", "victim", "treasure", "imagePullSecrets: [{name: treasure}]"),
		thing(t, "GitRepository", "victim", "treasure", fmt.Sprintf("{interval: 1h, url: %q, ref: {branch: main}}", r.url)),
		thing(t, "PackRepository", "victim", "treasure", `{url: "builtin://kubit-packs"}`),
		thing(t, "Kustomization", "victim", "treasure", "{interval: 1h, prune: true, path: ./all, suspend: false, sourceRef: {kind: GitRepository, name: treasure}}"),
		thing(t, "RoleBinding", "tenant", "all", `{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
			subjects: [{kind: ServiceAccount, name: default, namespace: tenant}]}`),
		thing(t, "GitRepository", "tenant", "own", fmt.Sprintf("{interval: 1h, url: %q, ref: {branch: main}}", r.url)),
		thing(t, "HelmRepository", "tenant", "oci", `{type: oci, interval: 1h, insecure: true, url: "oci://127.0.0.1:1/x"}`),
	} {
		create(t, obj)
	}
	return r
}

// readyOf returns the Ready condition of an object.
func readyOf(obj *unstructured.Unstructured) (status, message string) {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, _ := c.(map[string]any); condition["type"] == "Ready" {
			status, _ = condition["status"].(string)
			message, _ = condition["message"].(string)
		}
	}
	return status, message
}

// reachOut makes the objects of the table in a namespace.
func reachOut(t *testing.T, r *repository, namespace string) (all []*unstructured.Unstructured, wants map[string]reach) {
	t.Helper()
	wants = map[string]reach{}
	for i, row := range reaches {
		names := []string{"treasure"}
		if strings.Contains(row.spec, "TREASURE") {
			names = append(names, "../../victim/secrets/treasure", "../../../../api/v1/namespaces/victim/secrets/treasure")
		}
		for j, name := range names {
			kind, _, _ := strings.Cut(row.field, ".")
			spec := strings.NewReplacer("TREASURE", name, "OWN", r.url).Replace(row.spec)
			obj := thing(t, kind, namespace, fmt.Sprintf("reach-%d-%d", i, j), spec)
			err := world.Client.Create(t.Context(), obj)
			if apierrors.IsInvalid(err) && j > 0 {
				continue // the definition refuses such a name
			}
			check(t, err)
			all, wants[obj.GetName()] = append(all, obj), row
		}
	}
	return all, wants
}

func TestTenantsAreKeptApart(t *testing.T) {
	r := tenants(t)
	t.Run("references", func(t *testing.T) { testReferences(t, r) })
	t.Run("events", testEvents)
	t.Run("deletion", func(t *testing.T) { testNamespaceGoes(t, r) })
}

// A tenant gets nothing of another namespace by any field of any kind: neither by a reference with a namespace, nor by a
// name that is there only in the other one, nor by a name that leads out of its own.
func testReferences(t *testing.T, r *repository) {
	all, wants := reachOut(t, r, "tenant")
	t.Cleanup(func() {
		for _, obj := range all {
			check(t, client.IgnoreNotFound(world.Client.Delete(context.Background(), obj)))
		}
		for _, obj := range all {
			remove(t, obj)
		}
	})
	for _, obj := range all {
		row := wants[obj.GetName()]
		says := row.says
		if says == "" {
			says = "treasure"
		}
		eventually(t, time.Minute, func() error {
			if err := world.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
				return err
			}
			status, message := readyOf(obj)
			if status != "False" || !strings.Contains(message, says) {
				return fmt.Errorf("%s %s: Ready is %q, %q; want False and %q", row.field, obj.GetName(), status, message, says)
			}
			return nil
		})
	}
	check(t, tellsNothing("tenant"))
}

// A namespace that is deleted goes, whatever is in it, and whatever goes first: here nobody has rights to anything.
func testNamespaceGoes(t *testing.T, r *repository) {
	namespace(t, "poor")
	all, _ := reachOut(t, r, "poor")
	for _, obj := range all {
		eventually(t, time.Minute, func() error {
			err := world.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
			if status, _ := readyOf(obj); err != nil || status == "" {
				return fmt.Errorf("%s was not looked at yet (%w)", obj.GetName(), err)
			}
			return nil
		})
	}
	space := &corev1.Namespace{ObjectMeta: metaName("poor")}
	check(t, world.Client.Delete(t.Context(), space))
	eventually(t, 2*time.Minute, func() error {
		err := world.Client.Get(t.Context(), client.ObjectKeyFromObject(space), space)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is still there: %v (%w)", space.Status.Conditions, err)
	})
}

// tellsNothing returns an error when anything in a namespace, or the operator's log, holds the canary.
func tellsNothing(namespace string) error {
	definitions, err := crds.All()
	if err != nil {
		return err
	}
	kinds := []schema.GroupVersionKind{{Version: "v1", Kind: "Event"}, {Version: "v1", Kind: "Secret"}, {Version: "v1", Kind: "ConfigMap"}}
	for _, definition := range definitions {
		kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
		group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
		if known, ok := groups[kind]; ok {
			kinds = append(kinds, known.WithKind(kind))
		} else if group == "source.toolkit.fluxcd.io" {
			kinds = append(kinds, schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
		}
	}
	var problems []error
	for _, kind := range kinds {
		found := &unstructured.UnstructuredList{}
		found.SetGroupVersionKind(kind)
		if err := world.Client.List(context.Background(), found, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, obj := range found.Items {
			if text, _ := obj.MarshalJSON(); strings.Contains(string(text), canary) {
				problems = append(problems, fmt.Errorf("%s %s tells what is secret: %s", kind.Kind, obj.GetName(), text))
			}
		}
	}
	if strings.Contains(world.Operator.Tail(100_000), canary) {
		problems = append(problems, errors.New("the log tells what is secret"))
	}
	return errors.Join(problems...)
}

// What happens in a namespace is heard in that one only, and a webhook wakes nothing of another.
func testEvents(t *testing.T) {
	var mu sync.Mutex
	heard := map[string]int{}
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		heard[req.URL.Path+" "+req.Header.Get("X-Token")]++
	}))
	t.Cleanup(sink.Close)
	sources := `[{kind: GitRepository, name: "*", namespace: victim}, {kind: Kustomization, name: treasure, namespace: victim}]`
	for _, obj := range []client.Object{
		thing(t, "Secret", "tenant", "token", "stringData: {token: known, headers: \"X-Token: "+canary+"\"}"),
		thing(t, "Provider", "victim", "good", fmt.Sprintf("{type: generic, address: %q}", sink.URL+"/victim")),
		thing(t, "Alert", "victim", "good", "{eventSeverity: info, providerRef: {name: good}, eventSources: "+sources+"}"),
		thing(t, "Provider", "tenant", "bad", fmt.Sprintf("{type: generic, address: %q}", sink.URL+"/tenant")),
		thing(t, "Alert", "tenant", "bad", "{eventSeverity: info, providerRef: {name: bad}, eventSources: "+sources+"}"),
		thing(t, "Alert", "tenant", "worse", "{eventSeverity: info, providerRef: {name: good}, eventSources: [{kind: GitRepository, name: own}]}"),
		thing(t, "Provider", "tenant", "thief", fmt.Sprintf("{type: generic, address: %q, secretRef: {name: treasure}}", sink.URL+"/thief")),
		thing(t, "Provider", "tenant", "thief2", fmt.Sprintf("{type: generic, address: %q, proxySecretRef: {name: treasure}}", sink.URL+"/thief")),
		thing(t, "Provider", "tenant", "thief3", fmt.Sprintf("{type: generic, address: %q, certSecretRef: {name: treasure}}", sink.URL+"/thief")),
		thing(t, "Alert", "tenant", "thief", "{eventSeverity: info, providerRef: {name: thief}, eventSources: [{kind: GitRepository, name: own}]}"),
		thing(t, "Alert", "tenant", "thief2", "{eventSeverity: info, providerRef: {name: thief2}, eventSources: [{kind: GitRepository, name: own}]}"),
		thing(t, "Alert", "tenant", "thief3", "{eventSeverity: info, providerRef: {name: thief3}, eventSources: [{kind: GitRepository, name: own}]}"),
	} {
		create(t, obj)
	}
	hook := thing(t, "Receiver", "tenant", "hook", `{type: generic, secretRef: {name: token}, resources: [{kind: GitRepository, name: treasure, namespace: victim},
		{kind: Kustomization, name: "*", namespace: victim, matchLabels: {a: b}}]}`)
	create(t, hook)
	path := ""
	eventually(t, 90*time.Second, func() error {
		err := world.Client.Get(t.Context(), client.ObjectKeyFromObject(hook), hook)
		if path, _, _ = unstructured.NestedString(hook.Object, "status", "webhookPath"); path == "" {
			return fmt.Errorf("the Receiver has no path (%w)", err)
		}
		return nil
	})
	if code := post(t, "http://"+world.Operator.HTTP+path, "", "{}"); code < http.StatusBadRequest {
		t.Errorf("the webhook was answered with %d, want an error", code)
	}
	victim := thing(t, "GitRepository", "victim", "treasure", "{}")
	check(t, world.Client.Get(t.Context(), client.ObjectKeyFromObject(victim), victim))
	if asked := victim.GetAnnotations()["reconcile.fluxcd.io/requestedAt"]; asked != "" {
		t.Errorf("the other tenant's source was asked to reconcile at %s", asked)
	}
	for _, name := range []types.NamespacedName{{Namespace: "victim", Name: "treasure"}, {Namespace: "tenant", Name: "own"}} {
		fail := fmt.Sprintf(`{"spec":{"url":"http://127.0.0.1:1/%s"}}`, name.Name)
		obj := thing(t, "GitRepository", name.Namespace, name.Name, "{}")
		check(t, world.Client.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(fail))))
	}
	eventually(t, 90*time.Second, func() error {
		mu.Lock()
		defer mu.Unlock()
		if heard["/victim "] == 0 {
			return fmt.Errorf("the victim hears nothing of its own: %v", heard)
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	for path := range heard {
		if path != "/victim " {
			t.Errorf("a notification went to %s", path)
		}
	}
	check(t, tellsNothing("tenant"))
}
