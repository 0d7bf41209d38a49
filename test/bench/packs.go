package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// packChart is the chart of all Packs, one of those inside Peyk.
const packChart = "genpack"

// packValues are those of a Pack whose version is a var: a Deployment, a Service, an Ingress and a ConfigMap.
const packValues = `gonbad:
  workloads:
    main:
      replicaCount: %d
      containers:
        main:
          image: {repository: registry.k8s.io/pause, tag: "3.10"}
          env: {VERSION: %s}
          ports: {http: {number: 8080}}
  ingresses:
    main: {workloadName: main, servicePort: http, hosts: [{host: app.example.org}]}
global:
  sharedConfigs: {LEVEL: info}
`

// watchedPack is the one Pack that has a pod.
const watchedPack = 0

// packs measures the installation of N Packs, and what a change of a var by the deploy webhook takes until a pod has it.
func (r *round) packs(ctx context.Context) error {
	if err := r.installPacks(ctx); err != nil {
		return err
	}
	if err := r.helmFloor(ctx); err != nil {
		return err
	}
	if err := r.changeVar(ctx); err != nil {
		return err
	}
	return r.rest(ctx)
}

func (r *round) packObject(i int) (*unstructured.Unstructured, error) {
	replicas := 0
	if i == watchedPack {
		replicas = 1
	}
	objects, err := parse(fmt.Sprintf(`apiVersion: k8s.kubit.ir/v1alpha1
kind: Pack
metadata:
  name: %s
  namespace: %s
  labels: {%s: %s}
  annotations: {k8s.kubit.ir/webhook-registry: "off"}
spec:
  chart: {name: %s, repository: {kind: ClusterPackRepository, name: kubit-packs}}
  vars: {DOCKER_TAG: v1}
  values:
%s`, appName(i), space(r.source, i), runLabel, r.run, packChart, indented(fmt.Sprintf(packValues, replicas, "'{{ vars.DOCKER_TAG }}'"), "    ")))
	if err != nil {
		return nil, err
	}
	return objects[0], nil
}

func indented(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}

func (r *round) installPacks(ctx context.Context) error {
	var all []*unstructured.Unstructured
	for i := range r.n {
		obj, err := r.packObject(i)
		if err != nil {
			return err
		}
		all = append(all, obj)
	}
	_, err := r.measure(ctx, "p install", func(ctx context.Context) (outcome, error) {
		return r.untilReady(ctx, "seconds to create", func(ctx context.Context) error {
			return r.cluster.applyAll(ctx, r.o.workers, all)
		})
	})
	return err
}

// changeVar measures, round by round, the time from a call of the webhook, and from a bare apply of the Deployment, to a pod
// with the new value being Ready.
func (r *round) changeVar(ctx context.Context) error {
	space, name := space(r.source, watchedPack), appName(watchedPack)
	hook, err := r.packToken(ctx, space, name)
	if err != nil {
		return err
	}
	call := func(ctx context.Context, version string) error { return hook.post(ctx, version) }
	if _, err := r.measurePods(ctx, "p change by webhook", space, call); err != nil {
		return err
	}
	bare := r.floorSpace("before", watchedPack)
	_, err = r.measurePods(ctx, "floor change", bare, func(ctx context.Context, version string) error {
		objects, err := r.packFloor(bare, watchedPack, version)
		if err != nil {
			return err
		}
		for _, obj := range objects {
			if obj.GetKind() != "Deployment" {
				continue
			}
			if err := unstructured.SetNestedField(obj.Object, int64(1), "spec", "replicas"); err != nil {
				return err
			}
			return r.cluster.apply(ctx, obj)
		}
		return fmt.Errorf("chart %s has no Deployment", packChart)
	})
	return err
}

// measurePods measures changes until a pod of a namespace shows them.
func (r *round) measurePods(ctx context.Context, name, space string, change func(context.Context, string) error) (*measurement, error) {
	return r.measure(ctx, name, func(ctx context.Context) (outcome, error) {
		var o outcome
		start := time.Now()
		for i := range r.o.changes {
			version := fmt.Sprintf("c%d", i)
			watcher, err := r.cluster.client.Resource(pods).Namespace(space).Watch(ctx, metav1.ListOptions{})
			if err != nil {
				return o, fmt.Errorf("watching pods: %w", err)
			}
			began := time.Now()
			if err := change(ctx, version); err != nil {
				watcher.Stop()
				return o, err
			}
			err = until(ctx, watcher, func(obj *unstructured.Unstructured) bool { return podHas(obj, version) })
			watcher.Stop()
			if err != nil {
				return o, err
			}
			o.latencies = append(o.latencies, time.Since(began))
			// The pod before it goes now, and must not be a part of the next round.
			if err := r.cluster.quiet(ctx); err != nil {
				return o, err
			}
		}
		o.wall = time.Since(start)
		return o, nil
	})
}

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// podHas says whether a pod is Ready and has the version.
func podHas(obj *unstructured.Unstructured, version string) bool {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &pod); err != nil || condition(obj, "Ready") != "True" {
		return false
	}
	for _, e := range pod.Spec.Containers[0].Env {
		if e.Name == "VERSION" {
			return e.Value == version
		}
	}
	return false
}

// packHook is the webhook of a Pack, as `peyk pack token` prints it.
type packHook struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func (r *round) packToken(ctx context.Context, namespace, name string) (*packHook, error) {
	out, err := exec.CommandContext(ctx, r.operator.program, "pack", "token", name, "-n", namespace, //nolint:gosec // a program of this repository
		"--kubeconfig", r.cluster.kubeconfig, "--url", r.operator.webhook, "-o", "json").Output()
	if err != nil {
		return nil, fmt.Errorf("making a token of the webhook: %w", err)
	}
	hook := &packHook{}
	if err := json.Unmarshal(out, hook); err != nil {
		return nil, fmt.Errorf("reading what peyk pack token says: %w", err)
	}
	return hook, nil
}

func (h *packHook) post(ctx context.Context, version string) error {
	form := url.Values{"DOCKER_TAG": {version}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader([]byte(form)))
	if err != nil {
		return fmt.Errorf("calling the deploy webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer "+h.Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("calling the deploy webhook: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("calling the deploy webhook: it answers %s", res.Status)
	}
	return nil
}
