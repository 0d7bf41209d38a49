package nodes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const redisPack = `
chart: {name: redis-ha, version: 4.15.2, repository: {name: kubit-packs}}
values:
  redis: {resources: {limits: {memory: 100Mi}, requests: {cpu: 20m}}}
  persistentVolume: {size: 100Mi}
  exporter: {enabled: true, tag: v1.45.0}
`

// redisPut takes a write for done when a replica has it, too.
const redisPut = `
export REDISCLI_AUTH=$PASSWORD
put() {
	set -- $(printf 'SET k%s 1\nWAIT 1 1000\n' "$1" | timeout 3 redis-cli -h "$HOST" -p "$PORT" 2>/dev/null)
	[ "${1:-}" = OK ] && [ "${2:-0}" -ge 1 ]
}
`

// TestRedisLosesItsMaster switches the master's node off while a client writes through the proxies.
func TestRedisLosesItsMaster(t *testing.T) {
	const name = "redis-ha"
	pack := install(t, name, redisPack)
	defer remove(t, pack)
	defer sentinelsSay(t, name)
	for round := range rounds() {
		master := redisMaster(t, name)
		node := nodeOf(t, name, master)
		w := startWriter(t, name, otherNode(node), "redis:7", redisPut)
		w.await(t, time.Minute, time.Time{}, 50)
		moment := time.Now()
		powerOff(t, node)
		w.await(t, time.Minute, moment.Add(10*time.Second), 50)
		next := redisMaster(t, name)
		acks := w.end(t)
		took := outage(acks, moment)
		t.Logf("round %d: %s on %s was lost, %s took over; no write for %.1f s; %d acknowledged", round+1, master, node, next, took.Seconds(), len(acks))
		within(t, took, 15*time.Second)
		there, err := kubectl("-n", name, "exec", next, "-c", "redis", "--", "redis-cli", "keys", "k*")
		check(t, err)
		if lost := missing(acks, strings.ReplaceAll(there, "k", "")); len(lost) > 0 {
			t.Errorf("%d acknowledged writes are lost: %v", len(lost), lost)
		}
		_, err = kubectl("-n", name, "exec", next, "-c", "redis", "--", "redis-cli", "flushall")
		check(t, err)
		_, err = local("power", "on", node)
		check(t, err)
		eventually(t, 3*time.Minute, "replicas", func() error { return twoReplicas(name, next) })
	}
	t.Run("a drained master hands over", func(t *testing.T) { drainedMaster(t, name) })
}

// sentinelsSay shows what the Sentinels logged, when the test failed.
func sentinelsSay(t *testing.T, name string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, args := range [][]string{
		{"get", "pods", "-o", "wide"},
		{"logs", "--selector=app.kubernetes.io/component=server", "--container=sentinel", "--tail=40", "--prefix"},
	} {
		out, err := kubectl(append([]string{"-n", name}, args...)...)
		t.Logf("kubectl %s (%v):\n%s", strings.Join(args, " "), err, out)
	}
}

// drainedMaster evicts the master's pod: its replicas must not have to find out by themselves.
func drainedMaster(t *testing.T, name string) {
	master := redisMaster(t, name)
	w := startWriter(t, name, otherNode(nodeOf(t, name, master)), "redis:7", redisPut)
	w.await(t, time.Minute, time.Time{}, 50)
	defer sentinelsSay(t, name)
	moment := time.Now()
	_, err := kubectl("-n", name, "delete", "pod", master, "--wait=false")
	check(t, err)
	w.await(t, time.Minute, moment.Add(10*time.Second), 50)
	next := redisMaster(t, name)
	acks := w.end(t)
	t.Logf("%s handed over to %s; no write for %.1f s", master, next, outage(acks, moment).Seconds())
	within(t, outage(acks, moment), 15*time.Second)
	there, err := kubectl("-n", name, "exec", next, "-c", "redis", "--", "redis-cli", "keys", "k*")
	check(t, err)
	if lost := missing(acks, strings.ReplaceAll(there, "k", "")); len(lost) > 0 {
		t.Errorf("%d acknowledged writes are lost: %v", len(lost), lost)
	}
	eventually(t, 3*time.Minute, "replicas", func() error { return twoReplicas(name, next) })
}

// redisMaster returns the pod whose Redis takes writes.
func redisMaster(t *testing.T, namespace string) string {
	t.Helper()
	master := ""
	eventually(t, time.Minute, "the master", func() error {
		for i := range 3 {
			pod := fmt.Sprintf("%s-server-%d", namespace, i)
			out, err := kubectl("-n", namespace, "exec", pod, "-c", "redis", "--request-timeout=5s", "--", "redis-cli", "info", "replication")
			if err == nil && strings.Contains(out, "role:master") && !strings.Contains(out, "connected_slaves:0") {
				master = pod
				return nil
			}
		}
		return fmt.Errorf("no pod is a master with replicas")
	})
	return master
}

func twoReplicas(namespace, master string) error {
	out, err := kubectl("-n", namespace, "exec", master, "-c", "redis", "--", "redis-cli", "info", "replication")
	if err != nil {
		return err
	}
	if strings.Count(out, "state=online") != 2 {
		return fmt.Errorf("%s", out)
	}
	return nil
}
