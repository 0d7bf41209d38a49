package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The services of Sock Shop with their ports. All of them run a stand-in image: what is tested is their delivery.
var sockShop = map[string][]int{
	"carts": {80}, "carts-db": {27017}, "catalogue": {80}, "catalogue-db": {3306}, "front-end": {80}, "orders": {80},
	"orders-db": {27017}, "payment": {80}, "queue-master": {80}, "rabbitmq": {5672, 9090}, "session-db": {6379},
	"shipping": {80}, "user": {80}, "user-db": {27017},
}

// standIn runs and does nothing; the cluster has it.
const standIn = "registry.k8s.io/pause:3.10"

// completeDemo is Sock Shop's complete-demo.yaml in shape: a namespace, 14 Deployments and 14 Services.
func completeDemo() string {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: sock-shop}\n")
	for name, ports := range sockShop {
		var list []string
		for _, port := range ports {
			list = append(list, fmt.Sprintf("{name: p%d, port: %d, targetPort: %d}", port, port, port))
		}
		image := standIn
		if name == "front-end" {
			image = "weaveworksdemos/front-end:0.3.12"
		}
		fmt.Fprintf(&text, `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: sock-shop, labels: {name: %[1]s}}
spec:
  replicas: 1
  selector: {matchLabels: {name: %[1]s}}
  template:
    metadata: {labels: {name: %[1]s}}
    spec:
      containers: [{name: %[1]s, image: %[2]q, resources: {requests: {cpu: 1m, memory: 4Mi}}}]
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: sock-shop, labels: {name: %[1]s}}
spec: {ports: [%[3]s], selector: {name: %[1]s}}
`, name, image, strings.Join(list, ", "))
	}
	return text.String()
}

const kustomizeHead = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"

// TestSockShop delivers Sock Shop as a team does that comes from Flux: one repository for the cluster, with bases,
// overlays and a tenant, and one of the application, which the tenant follows. The Flux objects are those of such a
// repository, old versions of the API among them; only the addresses are ours.
func TestSockShop(t *testing.T) {
	shop, fleet := newRepository(t, "microservices-repo"), newRepository(t, "flux-repo")
	shop.push(t, map[string]string{
		"deploy/kubernetes/base/complete-demo.yaml": completeDemo(),
		"deploy/kubernetes/base/kustomization.yaml": kustomizeHead + "resources:\n- ./complete-demo.yaml\n",
		"deploy/kubernetes/overlays/development/kustomization.yaml": kustomizeHead + fmt.Sprintf(`resources:
- ../../base
images:
- name: weaveworksdemos/front-end
  newName: %s # {"$imagepolicy": "sock-shop:sock-shop-front-end:name"}
  newTag: %q # {"$imagepolicy": "sock-shop:sock-shop-front-end:tag"}
patches:
- patch: |-
    - {op: replace, path: /spec/replicas, value: 2}
  target: {kind: Deployment, name: front-end}
`, strings.Split(standIn, ":")[0], strings.Split(standIn, ":")[1]),
	})
	fleet.push(t, fleetFiles(t, shop))
	applyText(t, space("sock-shop"))
	t.Cleanup(func() {
		kubectlQuietly("delete", "kustomization", "-n", "peyk-system", "apps", "dev-cluster", "--wait=true")
		kubectlQuietly("delete", "namespace", "sock-shop", "--wait=false")
	})
	fleet.follow(t, "./clusters/dev-cluster", "")
	becomesReady(t, "kustomization", "peyk-system", "flux-repo")
	becomesReady(t, "kustomization", "peyk-system", "apps")
	becomesReady(t, "gitrepository", "sock-shop", "sock-shop-tenant")
	becomesReady(t, "kustomization", "sock-shop", "sock-shop-tenant")
	inventory := strings.Fields(kubectl(t, "get", "kustomization", "-n", "sock-shop", "sock-shop-tenant", "-o", "jsonpath={.status.inventory.entries[*].id}"))
	if len(inventory) != 1+2*len(sockShop) {
		t.Errorf("the inventory has %d objects, want 29:\n%s", len(inventory), strings.Join(inventory, "\n"))
	}
	soon(t, 2*time.Minute, func() error {
		ready := strings.Fields(kubectl(t, "get", "deployments", "-n", "sock-shop", "-o", "jsonpath={.items[?(@.status.readyReplicas>0)].metadata.name}"))
		if len(ready) != len(sockShop) {
			return fmt.Errorf("%d of %d Deployments are ready: %v", len(ready), len(sockShop), ready)
		}
		return nil
	})
	if got := kubectl(t, "get", "deployment", "-n", "sock-shop", "front-end", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"); got != "2 "+standIn {
		t.Errorf("front-end is %q, want the overlay's replicas and image", got)
	}
	// The old version of the API shows the same object.
	if got := kubectl(t, "get", "gitrepositories.v1beta1.source.toolkit.fluxcd.io", "-n", "sock-shop", "sock-shop-tenant", "-o", "jsonpath={.spec.ref.branch}"); got != "main" {
		t.Errorf("v1beta1 shows the branch %q, want main", got)
	}
	if out := try(t, "", "peyk", "get", "kustomizations", "-A"); !strings.Contains(out, "sock-shop-tenant") || !strings.Contains(out, "Applied revision: main@sha1:") {
		t.Errorf("peyk get kustomizations does not show it:\n%s", out)
	}
}

// fleetFiles is the cluster's repository.
func fleetFiles(t *testing.T, shop *repository) map[string]string {
	t.Helper()
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	return map[string]string{
		"README.md": "# fleet\n",
		"clusters/dev-cluster/apps.yaml": `apiVersion: kustomize.toolkit.fluxcd.io/v1beta2
kind: Kustomization
metadata: {name: apps, namespace: peyk-system}
spec:
  interval: 5m
  path: ./apps/overlays/development
  prune: true
  validation: client
  sourceRef: {kind: GitRepository, name: flux-repo}
`,
		"apps/base/kustomization.yaml":           kustomizeHead + "resources:\n- sock-shop\n",
		"apps/base/sock-shop/kustomization.yaml": kustomizeHead + "resources:\n- namespace.yaml\n- rbac.yaml\n- basic-access-auth.yaml\n- tenant.yaml\n",
		"apps/base/sock-shop/namespace.yaml":     "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: sock-shop\n",
		"apps/base/sock-shop/rbac.yaml": `apiVersion: v1
kind: ServiceAccount
metadata: {name: sock-shop, namespace: sock-shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sock-shop-reconciler, namespace: sock-shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects:
- {kind: ServiceAccount, name: sock-shop, namespace: sock-shop}
---
# The application's repository brings its own namespace along.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sock-shop-namespace}
rules:
- {apiGroups: [""], resources: [namespaces], resourceNames: [sock-shop], verbs: [get, patch, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sock-shop-namespace}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sock-shop-namespace}
subjects:
- {kind: ServiceAccount, name: sock-shop, namespace: sock-shop}
`,
		"apps/base/sock-shop/basic-access-auth.yaml": fmt.Sprintf(`---
apiVersion: v1
kind: Secret
metadata:
  name: microservices-basic-access-auth
  namespace: sock-shop
type: Opaque
data:
  username: %s
  password: %s
`, encode("peyk"), encode(forgeToken(t, shop.name, "read"))),
		"apps/base/sock-shop/tenant.yaml": fmt.Sprintf(`---
apiVersion: source.toolkit.fluxcd.io/v1beta1
kind: GitRepository
metadata:
  name: sock-shop-tenant
  namespace: sock-shop
spec:
  interval: 1m
  url: %s
  ref:
    branch: main
  secretRef:
    name: microservices-basic-access-auth
---
apiVersion: kustomize.toolkit.fluxcd.io/v1beta2
kind: Kustomization
metadata:
  name: sock-shop-tenant
  namespace: sock-shop
spec:
  serviceAccountName: sock-shop
  interval: 1m
  path: ./deploy/kubernetes/base
  prune: true
  wait: true
  timeout: 3m
  sourceRef: {kind: GitRepository, name: sock-shop-tenant}
`, shop.inside),
		"apps/overlays/development/kustomization.yaml": kustomizeHead + "resources:\n- sock-shop\n",
		"apps/overlays/development/sock-shop/kustomization.yaml": kustomizeHead + `resources:
- ../../../base/sock-shop
patches:
- patch: |-
    - {op: replace, path: /spec/path, value: ./deploy/kubernetes/overlays/development}
  target: {kind: Kustomization, name: sock-shop-tenant}
`,
	}
}
