package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// message is the text of the sample's answer that the demo changes.
const message = "Ping received and processed."

// build builds the image of the app's work tree and pushes it with the tag.
func (d *demo) build(ctx context.Context, tag string) error {
	return d.show(ctx, "peyk", "build", filepath.Join(d.work, "app"), "--tag", d.registry()+"/app:"+tag,
		"--ldflags", "-X main.version="+tag, "--port", "5000", "--push", "--insecure")
}

func (d *demo) buildFirst(ctx context.Context) error {
	if err := os.CopyFS(filepath.Join(d.work, "app"), os.DirFS(filepath.Join(d.root, "samples", "ping"))); err != nil {
		return fmt.Errorf("copying the sample: %w", err)
	}
	tag, err := d.push(ctx, "app", "ping: the sample application")
	if err != nil {
		return err
	}
	d.firstTag = tag
	return d.build(ctx, tag)
}

func (d *demo) applyPacks(ctx context.Context) error {
	packs := filepath.Join(d.root, "samples", "ping", "deploy")
	if err := os.CopyFS(filepath.Join(d.work, "deploy", "packs"), os.DirFS(packs)); err != nil {
		return fmt.Errorf("copying the Packs: %w", err)
	}
	if err := d.edit("deploy", "packs/sample-app.pack.yaml", "'00000000'", "'"+d.firstTag+"'"); err != nil {
		return err
	}
	if _, err := d.push(ctx, "deploy", "deploy: the Packs of the sample application"); err != nil {
		return err
	}
	if err := d.connect(ctx); err != nil {
		return err
	}
	for _, pack := range []string{"postgres", "redis", "sample-app"} {
		if err := until(ctx, 5*time.Minute, 200*time.Millisecond, func() error { return d.isReady(ctx, "pack", "base", pack) }); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"kubectl", "get", "pack", "-A"}, {"helm", "list", "-A"}, {"kubectl", "get", "pods", "-A"}} {
		if err := d.show(ctx, args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) isReady(ctx context.Context, kind, namespace, name string) error {
	out, err := d.kubectl(ctx, "", "get", kind, "-n", namespace, name, "-o",
		`jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}`)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(out, "True") {
		return fmt.Errorf("%s %s is not ready: %s", kind, name, out)
	}
	return nil
}

// sync is what tells Peyk to follow the repository deploy.
const sync = `apiVersion: v1
kind: Secret
metadata: {name: deploy-git, namespace: peyk-system}
stringData: {username: peyk, password: %[1]q}
---
apiVersion: v1
kind: Secret
metadata: {name: deploy-hook, namespace: peyk-system}
stringData: {token: %[2]q}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: deploy, namespace: peyk-system}
spec:
  url: %[3]s
  interval: 10m
  ref: {branch: main}
  secretRef: {name: deploy-git}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: deploy, namespace: peyk-system}
spec:
  sourceRef: {kind: GitRepository, name: deploy}
  path: ./packs
  interval: 10m
  prune: true
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: deploy, namespace: peyk-system}
spec:
  type: github
  events: [push]
  secretRef: {name: deploy-hook}
  resources: [{kind: GitRepository, name: deploy}]
`

// connect makes Peyk follow the repository deploy, and the Git server tell Peyk of each push.
func (d *demo) connect(ctx context.Context) error {
	d.hookToken = rand.Text()
	var token struct {
		Token string `json:"token"`
	}
	if err := d.forge(ctx, http.MethodPost, "deploy/tokens", map[string]string{"name": "peyk", "scope": "write"}, &token); err != nil {
		return err
	}
	manifests := fmt.Sprintf(sync, token.Token, d.hookToken, d.cluster.Inside.Git+"/deploy.git")
	if _, err := d.kubectl(ctx, manifests, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	var path string
	err := until(ctx, time.Minute, 100*time.Millisecond, func() error {
		var err error
		path, err = d.kubectl(ctx, "", "get", "receiver", "-n", "peyk-system", "deploy", "-o", "jsonpath={.status.webhookPath}")
		if err == nil && path == "" {
			err = errors.New("the receiver has no path yet")
		}
		return err
	})
	if err != nil {
		return err
	}
	hook := map[string]string{"url": "http://peyk.peyk-system.svc" + path, "secret": d.hookToken}
	return d.forge(ctx, http.MethodPost, "deploy/hooks", hook, nil)
}

// answer is what the sample application answers.
type answer struct {
	Message string `json:"message"`
	Cached  bool   `json:"cached"`
	MadeAt  string `json:"made_at"`
	Version string `json:"version"`
}

func (d *demo) ping(ctx context.Context) (answer, error) {
	var a answer
	err := call(ctx, http.MethodGet, d.edge("ping.localhost")+"/ping", "", "", nil, &a)
	return a, err
}

func (d *demo) ask(ctx context.Context) error {
	var first answer
	err := until(ctx, 2*time.Minute, 100*time.Millisecond, func() error {
		var err error
		first, err = d.ping(ctx)
		return err
	})
	if err != nil {
		return err
	}
	second, err := d.ping(ctx)
	if err != nil {
		return err
	}
	for _, a := range []answer{first, second} {
		fmt.Printf("   $ curl %s/ping\n   %+v\n", d.edge("ping.localhost"), a)
	}
	if first.Cached || !second.Cached || first.MadeAt != second.MadeAt || first.Version != d.firstTag {
		return fmt.Errorf("want a miss and then a hit of version %s", d.firstTag)
	}
	return nil
}

// changeManifest pushes a change of a manifest and waits until it is in the cluster.
func (d *demo) changeManifest(ctx context.Context) error {
	label := fmt.Sprintf("demo-%d", time.Now().Unix())
	if err := d.edit("deploy", "packs/namespace.yaml", "name: base", "name: base\n  labels: {demo: "+label+"}"); err != nil {
		return err
	}
	watched := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	go func() {
		_, err := d.kubectl(ctx, "", "wait", "namespace", "base", "--for=jsonpath={.metadata.labels.demo}="+label, "--timeout=30s")
		watched <- err
	}()
	time.Sleep(300 * time.Millisecond) // let the watch begin, so that it does not count
	if _, err := d.push(ctx, "deploy", "deploy: label the namespace"); err != nil {
		return err
	}
	start := time.Now()
	if err := <-watched; err != nil {
		return err
	}
	fmt.Printf("   %s from the end of the push to the changed object\n", seconds(time.Since(start)))
	return nil
}

func (d *demo) buildSecond(ctx context.Context) error {
	if err := d.edit("app", "internal/ping/ping.go", message, "Ping received, processed and delivered."); err != nil {
		return err
	}
	tag, err := d.push(ctx, "app", "ping: say that it was delivered")
	if err != nil {
		return err
	}
	d.secondTag = tag
	return d.build(ctx, tag)
}

// showCommit shows the commit that the webhook made of the new tag.
func (d *demo) showCommit(ctx context.Context) error {
	dir := filepath.Join(d.work, "deploy")
	if _, err := d.command(ctx, dir, nil, "git", "pull", "--quiet", "--ff-only", "origin", "main"); err != nil {
		return err
	}
	out, err := d.command(ctx, dir, nil, "git", "show", "--format=%an: %s", "--unified=0", "HEAD", "--", "packs")
	if err != nil {
		return err
	}
	if !strings.Contains(out, "+    DOCKER_TAG: '"+d.secondTag+"'") {
		return fmt.Errorf("the last commit does not set the tag %s: %s", d.secondTag, out)
	}
	fmt.Println("   " + strings.ReplaceAll(strings.TrimSpace(out), "\n", "\n   "))
	return nil
}

// deployByWebhook does what the deploy job of a pipeline does: one POST with the new tag.
func (d *demo) deployByWebhook(ctx context.Context) error {
	out, err := d.command(ctx, d.root, nil, "peyk", "pack", "token", "sample-app", "-n", "base", "--url", d.edge("peyk.localhost"), "-o", "json")
	if err != nil {
		return err
	}
	var hook struct {
		URL   string `json:"url"`
		Token string `json:"token"`
	}
	if err := json.Unmarshal([]byte(out), &hook); err != nil {
		return fmt.Errorf("reading what peyk pack token says: %w", err)
	}
	start := time.Now()
	form := url.Values{"DOCKER_TAG": {d.secondTag}}
	fmt.Printf("   $ curl -f -F DOCKER_TAG=%s -H 'Authorization: Bearer ...' %s\n", d.secondTag, hook.URL)
	if err := call(ctx, http.MethodPost, hook.URL, hook.Token, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), nil); err != nil {
		return err
	}
	var first answer
	err = until(ctx, 2*time.Minute, 20*time.Millisecond, func() error {
		var err error
		first, err = d.ping(ctx)
		if err == nil && first.Version != d.secondTag {
			err = fmt.Errorf("version %s answers", first.Version)
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("   %+v\n   %s from the POST to the new version's first answer\n", first, seconds(time.Since(start)))
	if err := d.showCommit(ctx); err != nil {
		return err
	}
	return d.show(ctx, "kubectl", "rollout", "status", "deployment/sample-app-main", "-n", "base")
}

func (d *demo) deleteDeployment(ctx context.Context) error {
	uid := func() (string, error) {
		return d.kubectl(ctx, "", "get", "deployment", "-n", "base", "-l", "app.kubernetes.io/instance=sample-app", "-o", "jsonpath={.items[*].metadata.uid}")
	}
	before, err := uid()
	if err != nil {
		return err
	}
	if err := d.show(ctx, "kubectl", "delete", "deployment", "-n", "base", "-l", "app.kubernetes.io/instance=sample-app"); err != nil {
		return err
	}
	start := time.Now()
	err = until(ctx, time.Minute, 50*time.Millisecond, func() error {
		now, err := uid()
		if err == nil && (now == "" || now == before) {
			err = errors.New("the Deployment is not back yet")
		}
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("   back after %s\n", seconds(time.Since(start)))
	return until(ctx, 2*time.Minute, 100*time.Millisecond, func() error {
		_, err := d.ping(ctx)
		return err
	})
}
