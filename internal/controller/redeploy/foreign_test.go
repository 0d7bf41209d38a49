package redeploy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/controller/redeploy"
)

// restartedAt is the annotation of a CloudNativePG cluster that its operator rolls the pods for.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// A Pack of a database has no workload that Kubernetes knows: its operator has to be told. The kind is served only after the
// controller was started, as when operator and Pack are installed together.
func TestPackOfADatabase(t *testing.T) {
	r := newRig(t)
	r.put("secret", "sec", "1")
	watching := map[string]string{redeploy.Annotation: "secret/sec"}
	db, other := r.pack("db", watching), r.pack("other", nil)
	r.defineClusters()
	main, replica, foreign := r.cluster("db-main", "db"), r.cluster("db-replica", "db"), r.cluster("other-main", "other")
	r.applied(db)
	r.applied(other)
	r.watched(main, "secret/sec")
	r.watched(replica, "secret/sec")
	if got := main.GetAnnotations()[restartedAt]; got != "" {
		t.Errorf("it was rolled at first sight: %s", got)
	}

	r.put("secret", "sec", "2")
	first := r.told(main, "")
	if again := r.told(replica, ""); again != first {
		t.Errorf("the two were told %q and %q", first, again)
	}
	if got := r.heard("Redeployed: rolling the pods, because of a change of secret/sec"); got != 2 {
		t.Errorf("said %d times: %v", got, r.said)
	}
	if owners := fmt.Sprint(main.GetManagedFields()); !strings.Contains(owners, "peyk-redeploy") {
		t.Errorf("an apply may take the annotation away: %s", owners)
	}

	// What is made anew has no past; a restart of the controller changes nothing.
	must(t, r.client.Delete(t.Context(), replica))
	r.stop()
	r.start()
	replica = r.cluster("db-replica", "db")
	r.applied(db)
	r.watched(replica, "secret/sec")
	r.put("secret", "sec", "3")
	r.told(main, first)
	r.told(replica, "")

	must(t, r.client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign))
	if len(foreign.GetAnnotations()) > 0 {
		t.Errorf("the cluster of another Pack has %v", foreign.GetAnnotations())
	}
	last := main.GetAnnotations()[restartedAt]
	must(t, r.client.Patch(t.Context(), db, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, redeploy.Annotation))))
	r.watched(main)
	if got := main.GetAnnotations()[restartedAt]; got != last {
		t.Errorf("it was rolled because nothing is watched any more: %s", got)
	}
}

// pack creates a Pack.
func (r *rig) pack(name string, annotations map[string]string) *packv1.Pack {
	r.Helper()
	obj := &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: r.ns, Name: name, Annotations: annotations}}
	obj.Spec.Chart.Name = "postgresql-ha"
	must(r.T, r.client.Create(r.Context(), obj))
	return obj
}

// applied plays the controller of Packs that has just applied one.
func (r *rig) applied(pack *packv1.Pack) {
	r.Helper()
	must(r.T, r.client.Get(r.Context(), client.ObjectKeyFromObject(pack), pack))
	pack.Status.ReleaseRevision++
	pack.Status.LastAppliedTime = new(metav1.Now())
	must(r.T, r.client.Status().Update(r.Context(), pack))
}

var clusters = schema.GroupVersionKind{Group: "postgresql.cnpg.io", Version: "v1", Kind: "Cluster"}

func (r *rig) defineClusters() {
	r.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "clusters." + clusters.Group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: clusters.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "clusters", Singular: "cluster", Kind: clusters.Kind, ListKind: "ClusterList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: clusters.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: new(true),
				}},
			}},
		},
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(definition)
	must(r.T, err)
	object := &unstructured.Unstructured{Object: content}
	object.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	must(r.T, client.IgnoreAlreadyExists(r.client.Create(r.Context(), object)))
	soon(r.T, "clusters are served", func() error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(clusters)
		return r.client.List(r.Context(), list)
	})
}

// cluster creates a CloudNativePG cluster of the Pack's release.
func (r *rig) cluster(name, pack string) *unstructured.Unstructured {
	r.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"instances": int64(1)}}}
	obj.SetGroupVersionKind(clusters)
	obj.SetNamespace(r.ns)
	obj.SetName(name)
	obj.SetLabels(map[string]string{apply.Packs.NameLabel: pack, apply.Packs.NamespaceLabel: r.ns})
	must(r.T, r.client.Create(r.Context(), obj))
	return obj
}

// told waits until the operator of a cluster is told to roll it, otherwise than before, and checks that it is told once.
func (r *rig) told(obj *unstructured.Unstructured, before string) string {
	r.Helper()
	look := func() string {
		must(r.T, r.client.Get(r.Context(), client.ObjectKeyFromObject(obj), obj))
		return obj.GetAnnotations()[restartedAt]
	}
	soon(r.T, obj.GetName()+" is rolled", func() error {
		if got := look(); got == before {
			return errors.New("it is not")
		}
		return nil
	})
	value := look()
	for end := time.Now().Add(2 * quiet); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got := look(); got != value {
			r.Fatalf("%s was rolled twice", obj.GetName())
		}
	}
	if spec := fmt.Sprint(obj.Object["spec"]); spec != "map[instances:1]" {
		r.Errorf("the spec of %s became %s", obj.GetName(), spec)
	}
	return value
}
