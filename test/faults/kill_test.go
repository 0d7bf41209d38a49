package faults_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// lanes are how many Kustomizations are under way at every kill.
const lanes = 10

// The kinds that the objects of a lane are of, and an object of each that carries a value.
var laneKinds = map[schema.GroupVersionKind]string{
	{Version: "v1", Kind: "ConfigMap"}:                                 "data: {value: %q}",
	{Version: "v1", Kind: "Secret"}:                                    "stringData: {value: %q}",
	{Version: "v1", Kind: "ServiceAccount"}:                            "automountServiceAccountToken: false # %q",
	{Version: "v1", Kind: "Service"}:                                   "spec: {ports: [{port: 80}]} # %q",
	{Group: "apps", Version: "v1", Kind: "Deployment"}:                 "spec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}, annotations: {value: %q}}, spec: {containers: [{name: a, image: a}]}}}",
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"}:  "rules: [{apiGroups: [''], resources: [pods], verbs: [get], resourceNames: [%q]}]",
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}: "spec: {podSelector: {matchLabels: {value: %q}}}",
	{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}:       "spec: {holderIdentity: %q}",
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"}:      "spec: {minAvailable: 1, selector: {matchLabels: {value: %q}}}",
	{Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"}: "value: 1\ndescription: %q",
	{Group: "batch", Version: "v1", Kind: "CronJob"}:                   "spec: {schedule: '0 0 1 1 *', suspend: true, jobTemplate: {spec: {template: {metadata: {annotations: {value: %q}}, spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}",
}

// state is what a lane is to have: the key of an object to its value.
type state map[laneKey]string

type laneKey struct {
	kind schema.GroupVersionKind
	name string
}

// lane is one Kustomization and what it is to have now. A nil state stands for a Kustomization that is not there.
type lane struct {
	name  string
	wants state
}

// namespaced says whether the objects of a kind live in the lane's namespace.
func (k laneKey) namespaced() bool { return k.kind.Kind != "PriorityClass" }

func (l *lane) files() string {
	var text strings.Builder
	for _, key := range slices.SortedFunc(maps.Keys(l.wants), func(a, b laneKey) int { return strings.Compare(a.id(l), b.id(l)) }) {
		apiVersion, kind := key.kind.ToAPIVersionAndKind()
		fmt.Fprintf(&text, "---\napiVersion: %s\nkind: %s\nmetadata: {name: %s, annotations: {value: %q}", apiVersion, kind, key.objectName(l), l.wants[key])
		if key.namespaced() {
			fmt.Fprintf(&text, ", namespace: %s", l.name)
		}
		fmt.Fprintf(&text, "}\n"+laneKinds[key.kind]+"\n", l.wants[key])
	}
	return text.String()
}

// objectName keeps the cluster-wide objects of lanes apart.
func (k laneKey) objectName(l *lane) string {
	if k.namespaced() {
		return k.name
	}
	return l.name + "-" + k.name
}

// id is the key of the object in an inventory.
func (k laneKey) id(l *lane) string {
	namespace := l.name
	if !k.namespaced() {
		namespace = ""
	}
	return fmt.Sprintf("%s_%s_%s_%s", namespace, k.objectName(l), k.kind.Group, k.kind.Kind)
}

// change gives the lane something else to want.
func (l *lane) change(random *rand.Rand) {
	next := state{}
	kinds := slices.SortedFunc(maps.Keys(laneKinds), func(a, b schema.GroupVersionKind) int { return strings.Compare(a.Kind, b.Kind) })
	for range 1 + random.IntN(8) {
		key := laneKey{kinds[random.IntN(len(kinds))], fmt.Sprintf("o%d", random.IntN(3))}
		next[key] = fmt.Sprintf("v%d", random.IntN(1000))
	}
	l.wants = next
}

// TestKilledAtAnyMoment kills the operator at random moments of installing, upgrading and deleting, sometimes with
// another commit before it comes back. What the cluster has in the end, and what the inventory says, is what was
// committed last.
func TestKilledAtAnyMoment(t *testing.T) {
	runs := 50
	if full {
		runs = 200
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test that can be repeated
	all := make([]*lane, lanes)
	files := map[string]string{"kustomization.yaml": "resources: []\n"}
	for i := range all {
		all[i] = &lane{name: fmt.Sprintf("lane%d", i)}
		namespace(t, all[i].name)
		files[all[i].name+"/objects.yaml"] = ""
	}
	r := follow(t, "killed", files)
	t.Cleanup(func() {
		for _, l := range all {
			remove(t, r.kustomization(l.name, l.name))
		}
	})
	for round := range runs / lanes {
		revision := step(t, r, all, random)
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond)
		world.Operator.Kill()
		if random.IntN(3) == 0 {
			for _, l := range all {
				if l.wants != nil {
					l.change(random)
				}
			}
			revision = commit(t, r, all)
		}
		check(t, world.Operator.Start())
		var group sync.WaitGroup
		problems := make([]error, lanes)
		for i, l := range all {
			group.Go(func() { problems[i] = l.await(revision) })
		}
		group.Wait()
		if err := errors.Join(problems...); err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, world.Operator.Tail(15))
		}
	}
}

// step changes every lane: a Kustomization comes, changes or goes.
func step(t *testing.T, r *repository, all []*lane, random *rand.Rand) string {
	t.Helper()
	var come, gone []*lane
	for _, l := range all {
		switch {
		case l.wants == nil:
			come = append(come, l)
			l.change(random)
		case random.IntN(3) == 0:
			gone = append(gone, l)
			l.wants = nil
		default:
			l.change(random)
		}
	}
	revision := commit(t, r, all)
	for _, l := range come {
		check(t, world.Client.Create(context.Background(), r.kustomization(l.name, l.name)))
	}
	for _, l := range gone {
		check(t, world.Client.Delete(context.Background(), r.kustomization(l.name, l.name)))
	}
	return revision
}

func commit(t *testing.T, r *repository, all []*lane) string {
	t.Helper()
	files := map[string]string{"round": fmt.Sprint(time.Now().UnixNano())}
	for _, l := range all {
		files[l.name+"/objects.yaml"] = l.files()
	}
	return r.push(t, files)
}

// await waits until the cluster is what the lane wants, and stays so.
func (l *lane) await(revision string) error {
	deadline := time.Now().Add(90 * time.Second)
	for {
		err := l.compare(revision)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (l *lane) compare(revision string) error {
	k, err := read(l.name)
	switch {
	case l.wants == nil && apierrors.IsNotFound(err):
	case l.wants == nil:
		return fmt.Errorf("the Kustomization is still there (%w)", err)
	case err != nil:
		return err
	default:
		if err := settled(k, revision); err != nil {
			return err
		}
		if err := l.compareInventory(k); err != nil {
			return err
		}
	}
	return l.compareObjects()
}

func settled(k *ksv1.Kustomization, revision string) error {
	for _, c := range k.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" && k.Status.LastAppliedRevision == revision {
			return nil
		}
		if c.Type == "Ready" && c.Status == "False" {
			return fmt.Errorf("not ready: %s", c.Message)
		}
	}
	return fmt.Errorf("applied %s, want %s", k.Status.LastAppliedRevision, revision)
}

func (l *lane) compareInventory(k *ksv1.Kustomization) error {
	var got, want []string
	if k.Status.Inventory != nil {
		for _, entry := range k.Status.Inventory.Entries {
			got = append(got, entry.ID)
		}
	}
	for key := range l.wants {
		want = append(want, key.id(l))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the inventory has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return nil
}

// compareObjects compares what carries the labels of the lane with what it wants.
func (l *lane) compareObjects() error {
	left := maps.Clone(l.wants)
	for kind := range laneKinds {
		found := &unstructured.UnstructuredList{}
		found.SetGroupVersionKind(kind)
		err := world.Client.List(context.Background(), found, client.MatchingLabels{
			"kustomize.toolkit.fluxcd.io/name": l.name, "kustomize.toolkit.fluxcd.io/namespace": "default",
		})
		if err != nil {
			return err
		}
		for _, obj := range found.Items {
			if obj.GetDeletionTimestamp() != nil {
				return fmt.Errorf("%s %s is being deleted", kind.Kind, obj.GetName())
			}
			key := laneKey{kind, strings.TrimPrefix(obj.GetName(), l.name+"-")}
			value, wanted := left[key]
			if !wanted {
				return fmt.Errorf("%s %s is left over", kind.Kind, obj.GetName())
			}
			if got := obj.GetAnnotations()["value"]; got != value {
				return fmt.Errorf("%s %s has the value %s, want %s", kind.Kind, obj.GetName(), got, value)
			}
			delete(left, key)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%d objects are missing", len(left))
	}
	return nil
}
