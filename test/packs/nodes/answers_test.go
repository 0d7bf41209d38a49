package nodes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// cronJobRuns starts the CronJob once, as its schedule would.
func cronJobRuns(t *testing.T, namespace, _ string) {
	t.Helper()
	_, err := kubectl("create", "job", "once", "-n", namespace, "--from=cronjob/cronjob-baz")
	check(t, err)
	_, err = kubectl("wait", "job/once", "-n", namespace, "--for=condition=Complete", "--timeout=50s")
	check(t, err)
	out, err := kubectl("logs", "job/once", "-n", namespace)
	check(t, err)
	if !strings.Contains(out, fmt.Sprint(time.Now().UTC().Year())) {
		t.Errorf("the job printed %q, want the date", out)
	}
}

// connectionOf returns the address that a database's chart writes for applications. The name is that of its objects.
func connectionOf(t *testing.T, namespace, name string) string {
	t.Helper()
	var connection corev1.Secret
	check(t, cluster.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name + "-connection"}, &connection))
	return string(connection.Data["uri"])
}

// postgresAnswers asks the database at the address that applications are given.
func postgresAnswers(pod string) func(t *testing.T, namespace, name string) {
	return func(t *testing.T, namespace, _ string) {
		t.Helper()
		connection := connectionOf(t, namespace, pod[:strings.LastIndex(pod, "-")])
		out, err := kubectl("exec", "-n", namespace, pod, "--", "psql", connection, "-Atc", "select 1")
		check(t, err)
		if strings.TrimSpace(out) != "1" {
			t.Errorf("the database answers %q, want 1", out)
		}
	}
}

// threeServersAnswer waits for the operator: for a moment, before it has said anything of the Cluster, the Pack counts as ready.
func threeServersAnswer(t *testing.T, namespace, name string) {
	t.Helper()
	serving(t, namespace, name+"-postgresql-ha", 3)
	ready(t, newPack(namespace+"/"+name))
	postgresAnswers(name+"-postgresql-ha-1")(t, namespace, name)
}

// redisAnswers writes at the address that applications are given.
func redisAnswers(t *testing.T, namespace, name string) {
	t.Helper()
	var connection corev1.Secret
	check(t, cluster.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name + "-redis-ha-connection"}, &connection))
	// The password is in the environment of the pod. redis-cli does not understand an address without a user.
	out, err := kubectl("exec", "-n", namespace, name+"-redis-ha-server-0", "-c", "redis", "--", "redis-cli", "-h", string(connection.Data["host"]), "set", "a", "b")
	check(t, err)
	if strings.TrimSpace(out) != "OK" {
		t.Errorf("the master answers %q, want OK", out)
	}
}
