package nodes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const operatorPack = `
chart: {name: cloudnative-pg, repository: {name: kubit-packs}}
values: {replicas: 2, leaseSeconds: 10}
`

const postgresPack = `
chart: {name: postgresql-ha, version: ~=0.6.17, repository: {name: kubit-packs}}
values:
  keeper: {replicaCount: 3, resources: {requests: {cpu: 50m, memory: 200Mi}}}
  persistence: {size: 500Mi}
  databases:
    - {database: shop, username: shop-owner, extensions: [pg_trgm]}
    - {database: stock, username: clerk}
  synchronous: {number: 1}
  pgParameters: {pg_stat_statements.track: all, shared_preload_libraries: pg_stat_statements}
`

const postgresPut = `
export PGHOST=$HOST PGPORT=$PORT PGUSER=$USERNAME PGPASSWORD=$PASSWORD PGDATABASE=$DATABASE PGCONNECT_TIMEOUT=2
put() { timeout 5 psql --no-psqlrc --quiet --command "insert into acks values ($1)" 2>/dev/null; }
`

const postgresImage = "ghcr.io/cloudnative-pg/postgresql:15"

// quiet is how long nothing happens before a node is switched off. For 20 s after the operator has done something it holds
// connections to the servers, and one to a server that is lost makes it wait 30 s for an answer.
const quiet = 25 * time.Second

// TestPostgresLosesItsPrimary switches the primary's node off while a client writes in synchronous mode.
func TestPostgresLosesItsPrimary(t *testing.T) {
	const name = "postgresql-ha"
	operator := install(t, "cnpg-system", operatorPack)
	defer remove(t, operator)
	pack := install(t, name, postgresPack)
	defer remove(t, pack)
	healthy(t, name)
	psql(t, name, "create table if not exists acks (n bigint)")
	psql(t, name, "grant all on acks to public")
	for round := range rounds() {
		primary := postgresPrimary(t, name)
		node := nodeOf(t, name, primary)
		w := startWriter(t, name, otherNode(node), postgresImage, postgresPut)
		w.await(t, time.Minute, time.Time{}, 50)
		time.Sleep(quiet)
		moment := time.Now()
		powerOff(t, node)
		w.await(t, 2*time.Minute, moment.Add(10*time.Second), 50)
		acks := w.end(t)
		next := postgresPrimary(t, name)
		took := outage(acks, moment)
		t.Logf("round %d: %s on %s was lost, %s took over; no write for %.1f s; %d acknowledged", round+1, primary, node, next, took.Seconds(), len(acks))
		within(t, took, 30*time.Second)
		if lost := missing(acks, psql(t, name, "select n from acks")); len(lost) > 0 {
			t.Errorf("%d acknowledged writes are lost: %v", len(lost), lost)
		}
		psql(t, name, "truncate acks")
		_, err := local("power", "on", node)
		check(t, err)
		healthy(t, name)
	}
}

// cnpgCluster reads the operator's Cluster.
func cnpgCluster(t *testing.T, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	found := &unstructured.Unstructured{}
	found.SetAPIVersion("postgresql.cnpg.io/v1")
	found.SetKind("Cluster")
	check(t, cluster.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, found))
	return found
}

func postgresPrimary(t *testing.T, name string) string {
	t.Helper()
	primary, _, _ := unstructured.NestedString(cnpgCluster(t, name, name).Object, "status", "currentPrimary")
	return primary
}

// serving waits until the operator says that so many servers are ready, and that nothing is left to do.
func serving(t *testing.T, namespace, name string, servers int64) {
	t.Helper()
	eventually(t, 5*time.Minute, "the servers of "+name, func() error {
		found := cnpgCluster(t, namespace, name)
		ready, _, _ := unstructured.NestedInt64(found.Object, "status", "readyInstances")
		phase, _, _ := unstructured.NestedString(found.Object, "status", "phase")
		if ready != servers || phase != "Cluster in healthy state" {
			return fmt.Errorf("%d servers are ready: %s", ready, phase)
		}
		return nil
	})
}

// healthy waits until all servers run, and stream from the primary.
func healthy(t *testing.T, name string) {
	t.Helper()
	serving(t, name, name, 3)
	eventually(t, time.Minute, "the standbys", func() error {
		out, err := kubectl("-n", name, "exec", postgresPrimary(t, name), "-c", "postgres", "--",
			"psql", "-Atc", "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'quorum'")
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) != "2" {
			return fmt.Errorf("%s standbys stream", strings.TrimSpace(out))
		}
		return nil
	})
}

// psql runs a statement on the primary, in the database shop.
func psql(t *testing.T, name, statement string) string {
	t.Helper()
	out, err := kubectl("-n", name, "exec", postgresPrimary(t, name), "-c", "postgres", "--", "psql", "-At", "-d", "shop", "-c", statement)
	check(t, err)
	return out
}
