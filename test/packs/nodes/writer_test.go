package nodes_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// writer is a pod that writes numbers, one after the other, and prints those that were acknowledged, with the time.
type writer struct {
	namespace, name string
}

// ack is an acknowledged write.
type ack struct {
	number int
	at     time.Time
}

// startWriter runs the shell function `put NUMBER` of a script again and again on a node, with the connection's Secret in the
// environment as HOST, USERNAME, PASSWORD and DATABASE.
func startWriter(t *testing.T, namespace, node, image, put string) *writer {
	t.Helper()
	w := &writer{namespace: namespace, name: "writer-" + strconv.FormatInt(time.Now().UnixMilli(), 36)}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: w.name}}
	pod.Spec = corev1.PodSpec{
		NodeName: node, RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: ptr.To(int64(0)),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(int64(1000)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "writer", Image: image, Command: []string{"/bin/sh", "-c", put + loop}, Env: connection(namespace),
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
	check(t, cluster.client.Create(t.Context(), pod))
	return w
}

const loop = `
n=0
while :; do
	n=$((n + 1))
	if put $n; then echo "ack $n $(date +%s%3N)"; else sleep 0.2; fi
done
`

// connection hands the Secret of a pack to a container.
func connection(pack string) []corev1.EnvVar {
	var env []corev1.EnvVar
	for _, key := range []string{"host", "port", "username", "password", "database", "uri"} {
		env = append(env, corev1.EnvVar{Name: strings.ToUpper(key), ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: pack + "-connection"}, Key: key},
		}})
	}
	return env
}

// acks returns what was acknowledged until now.
func (w *writer) acks() ([]ack, error) {
	out, err := kubectl("-n", w.namespace, "logs", w.name)
	if err != nil {
		return nil, err
	}
	var found []ack
	for line := range strings.Lines(out) {
		var number int
		var millis int64
		if n, _ := fmt.Sscanf(line, "ack %d %d\n", &number, &millis); n == 2 {
			found = append(found, ack{number, time.UnixMilli(millis)})
		}
	}
	return found, nil
}

// await waits until there are so many acknowledged writes since a time.
func (w *writer) await(t *testing.T, limit time.Duration, since time.Time, count int) {
	t.Helper()
	eventually(t, limit, "writes", func() error {
		acks, err := w.acks()
		if err != nil {
			return err
		}
		seen := 0
		for _, a := range acks {
			if a.at.After(since) {
				seen++
			}
		}
		if seen < count {
			return fmt.Errorf("%d of %d writes were acknowledged", seen, count)
		}
		return nil
	})
}

// end stops the writer and returns what was acknowledged.
func (w *writer) end(t *testing.T) []ack {
	t.Helper()
	acks, err := w.acks()
	check(t, err)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name}}
	check(t, client.IgnoreNotFound(cluster.client.Delete(t.Context(), pod)))
	eventually(t, time.Minute, "end of the writer", func() error {
		err := cluster.client.Get(t.Context(), types.NamespacedName{Namespace: w.namespace, Name: w.name}, pod)
		if err == nil {
			return fmt.Errorf("the writer is still there")
		}
		return client.IgnoreNotFound(err)
	})
	return acks
}

// outage returns the longest time without an acknowledged write that ended after a moment.
func outage(acks []ack, moment time.Time) time.Duration {
	longest := time.Duration(0)
	for i := 1; i < len(acks); i++ {
		if acks[i].at.After(moment) {
			longest = max(longest, acks[i].at.Sub(acks[i-1].at))
		}
	}
	return longest
}

// missing returns the acknowledged numbers that are not there, of the numbers that are, separated by white space.
func missing(acks []ack, there string) []int {
	have := map[string]bool{}
	for _, field := range strings.Fields(there) {
		have[field] = true
	}
	var lost []int
	for _, a := range acks {
		if !have[strconv.Itoa(a.number)] {
			lost = append(lost, a.number)
		}
	}
	return lost
}

// nodeOf returns the node of a pod.
func nodeOf(t *testing.T, namespace, name string) string {
	t.Helper()
	var pod corev1.Pod
	check(t, cluster.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, &pod))
	return pod.Spec.NodeName
}

// otherNode returns a node that is not this one.
func otherNode(node string) string {
	if node == "node-1" {
		return "node-2"
	}
	return "node-1"
}
