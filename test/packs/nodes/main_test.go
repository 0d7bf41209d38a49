// Package nodes_test runs Packs on a local cluster of three nodes, with real pods: every sample of the reference as it is, and the
// managed databases, whose primary's node is switched off while they are written to.
//
// One node is switched off per database, five when PEYK_FAULTS is "full", as `make test-faults` sets it.
package nodes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// images are the recipes of what the packs run.
var images = []string{"postgres", "redis", "postgresql", "cloudnative-pg", "haproxy", "postgres-exporter", "redis-exporter"}

// cluster is what all tests share. They run one after the other.
var cluster struct {
	root, program, kubectl, dir string
	Kubeconfig                  string    `json:"kubeconfig"`
	S3Keys                      string    `json:"s3CredentialsFile"`
	URLs                        addresses `json:"urls"`
	Inside                      addresses `json:"inside"`
	operator                    *testkit.Operator
	client                      client.Client
}

type addresses struct {
	HTTP     string `json:"http"`
	Registry string `json:"registry"`
	S3       string `json:"s3"`
}

// rounds is how often a node is switched off under each pack.
func rounds() int {
	if testkit.Full() {
		return 5
	}
	return 1
}

// within checks how long nobody could write. What is promised counts where the machine does nothing else, as for `make test-faults`;
// elsewhere the machine may take as long again.
func within(t *testing.T, took, promised time.Duration) {
	t.Helper()
	if !testkit.Full() {
		promised *= 2
	}
	if took > promised {
		t.Errorf("writes resumed after %s, the limit is %s", took, promised)
	}
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "running packs on nodes:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if cluster.root, err = testkit.Root(); err != nil {
		return 1, err
	}
	if cluster.program, err = testkit.Program("peyk-local"); err != nil {
		return 1, err
	}
	if cluster.kubectl, err = testkit.Program("kubectl"); err != nil {
		return 1, err
	}
	if cluster.dir, err = os.MkdirTemp("", "peyk-packs-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cluster.dir)) }()
	defer func() {
		_, downErr := local("down")
		err = errors.Join(err, downErr)
	}()
	if err := start(); err != nil {
		return 1, err
	}
	if cluster.operator, err = testkit.NewOperator(cluster.Kubeconfig, cluster.dir); err != nil {
		return 1, err
	}
	if err := cluster.operator.Start(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cluster.operator.Stop()) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := cluster.operator.Ready(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// start brings up the cluster, its images and the definitions of Peyk's kinds.
func start() error {
	if _, err := local("up", "--nodes", "3", "--node-grace", "10s"); err != nil {
		return err
	}
	out, err := local("status", "-o", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &cluster); err != nil {
		return fmt.Errorf("reading the cluster's status: %w", err)
	}
	load := []string{"load"}
	for _, image := range images {
		load = append(load, filepath.Join(cluster.root, "images", image))
	}
	if _, err := local(load...); err != nil {
		return err
	}
	return connect()
}

func connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", cluster.Kubeconfig)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), packv1.AddToScheme(scheme)); err != nil {
		return err
	}
	if cluster.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return testkit.Define(context.Background(), cluster.client)
}

// local runs a command of peyk-local on the cluster.
func local(args ...string) (string, error) {
	return command(15*time.Minute, cluster.program, append(args, "--name", "packs", "--state-dir", filepath.Join(cluster.dir, "state"))...)
}

// kubectl runs the stock command.
func kubectl(args ...string) (string, error) {
	return command(time.Minute, cluster.kubectl, append([]string{"--kubeconfig", cluster.Kubeconfig}, args...)...)
}

func command(limit time.Duration, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // a program of this repository
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// wait asks until there is no error, and returns the last one after the limit.
func wait(limit time.Duration, ask func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %w", limit, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func eventually(t *testing.T, limit time.Duration, what string, ask func() error) {
	t.Helper()
	if err := wait(limit, ask); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// install creates a Pack in a namespace of its own name, and waits until it is ready.
func install(t *testing.T, name, spec string) *packv1.Pack {
	t.Helper()
	err := cluster.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted",
	}}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	pack := &packv1.Pack{}
	check(t, yaml.UnmarshalStrict([]byte(spec), &pack.Spec))
	pack.Name, pack.Namespace = name, name
	check(t, cluster.client.Create(t.Context(), pack))
	ready(t, pack)
	return pack
}

func ready(t *testing.T, pack *packv1.Pack) {
	t.Helper()
	eventually(t, 6*time.Minute, "Pack "+pack.Name, func() error {
		var now packv1.Pack
		if err := cluster.client.Get(t.Context(), client.ObjectKeyFromObject(pack), &now); err != nil {
			return err
		}
		for _, c := range now.Status.Conditions {
			if c.Type == "Ready" && c.Status == metav1.ConditionTrue && c.ObservedGeneration == now.Generation && now.Status.Phase == packv1.PackApplied {
				return nil
			}
		}
		return fmt.Errorf("%s, %s: %+v", now.Status.Phase, now.Status.LastError, now.Status.Conditions)
	})
}

// remove deletes a Pack and waits until it is gone, also when the test is over. A database whose changes cannot be archived takes two
// minutes to stop.
func remove(t *testing.T, pack *packv1.Pack) {
	t.Helper()
	ctx := context.Background()
	check(t, client.IgnoreNotFound(cluster.client.Delete(ctx, pack)))
	eventually(t, 4*time.Minute, "removal of "+pack.Name, func() error {
		err := cluster.client.Get(ctx, client.ObjectKeyFromObject(pack), &packv1.Pack{})
		if err == nil {
			return errors.New("it is still there")
		}
		return client.IgnoreNotFound(err)
	})
}

// powerOff switches a node off, and on again at the end of the test at the latest.
func powerOff(t *testing.T, node string) {
	t.Helper()
	_, err := local("power", "off", node)
	check(t, err)
	t.Cleanup(func() {
		if _, err := local("power", "on", node); err != nil {
			t.Error(err)
		}
	})
}
