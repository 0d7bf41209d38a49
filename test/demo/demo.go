package main

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
	"time"
)

// demo is one run of the demonstration.
type demo struct {
	name, bin, root string
	nodes           int

	work    string // of the Git work trees
	cluster cluster
	started time.Time
	times   []timing

	gitToken  string // of the Git server's administrator
	hookToken string // that the Git server proves itself with to Peyk
	firstTag  string
	secondTag string
}

// cluster is what `peyk-local up -o json` says of the cluster.
type cluster struct {
	StateDir     string `json:"stateDir"`
	Kubeconfig   string `json:"kubeconfig"`
	GitTokenFile string `json:"gitTokenFile"`
	URLs         urls   `json:"urls"`
	Inside       urls   `json:"inside"`
}

type urls struct {
	API      string `json:"api"`
	Git      string `json:"git"`
	Registry string `json:"registry"`
	HTTP     string `json:"http"`
}

type timing struct {
	step string
	took time.Duration
}

type step struct {
	title string
	run   func(context.Context) error
}

func (d *demo) run(ctx context.Context) error {
	d.started = time.Now()
	if err := d.resolve(); err != nil {
		return err
	}
	for _, s := range []step{
		{"cluster up", d.up},
		{"images of PostgreSQL and Redis assembled and loaded", d.loadImages},
		{"Peyk's image built, Peyk installed", d.install},
		{"Git repositories app and deploy made", d.makeRepositories},
		{"source pushed, image built with the commit's hash as tag", d.buildFirst},
		{"Packs pushed and applied by GitOps", d.applyPacks},
		{"first answers: a miss, then a hit", d.ask},
		{"push of a changed manifest reaches the cluster", d.changeManifest},
		{"change of the source pushed and built", d.buildSecond},
		{"new tag deployed by the webhook, new version answers", d.deployByWebhook},
		{"Deployment deleted by hand, and it comes back", d.deleteDeployment},
	} {
		if err := d.step(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	d.summary()
	return nil
}

func (d *demo) step(ctx context.Context, s step) error {
	fmt.Printf("\n== %s\n", s.title)
	start := time.Now()
	if err := s.run(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	d.times = append(d.times, timing{s.title, took})
	fmt.Printf("   %s\n", seconds(took))
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func (d *demo) resolve() error {
	for _, path := range []*string{&d.bin, &d.root} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	for _, program := range []string{"peyk", "peyk-local", "kubectl", "helm"} {
		if _, err := os.Stat(filepath.Join(d.bin, program)); err != nil {
			return fmt.Errorf("%s is missing: run `make build tools`", filepath.Join(d.bin, program))
		}
	}
	return nil
}

// command runs a program and returns what it prints; what it prints on standard error is in the error.
func (d *demo) command(ctx context.Context, dir string, stdin []byte, name string, args ...string) (string, error) {
	if path := filepath.Join(d.bin, name); exists(path) {
		name = path
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the demo runs what it was built with
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.cluster.Kubeconfig,
		"GIT_AUTHOR_NAME=Demo", "GIT_AUTHOR_EMAIL=demo@peyk.dev", "GIT_COMMITTER_NAME=Demo", "GIT_COMMITTER_EMAIL=demo@peyk.dev",
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1")
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String() + stdout.String())
		return "", fmt.Errorf("running %s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, said)
	}
	return stdout.String(), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// show runs a program and shows the command and the last lines that it prints.
func (d *demo) show(ctx context.Context, name string, args ...string) error {
	fmt.Printf("   $ %s %s\n", name, strings.Join(args, " "))
	out, err := d.command(ctx, d.root, nil, name, args...)
	if err != nil {
		return err
	}
	const most = 12
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines[max(0, len(lines)-most):] {
		if line != "" {
			fmt.Println("   " + line)
		}
	}
	return nil
}

func (d *demo) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	var in []byte
	if stdin != "" {
		in = []byte(stdin)
	}
	return d.command(ctx, d.root, in, "kubectl", args...)
}

// until tries f until it returns nil, and returns its last error when it took too long.
func until(ctx context.Context, limit, pause time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("still not so after %s", limit), err)
		case <-time.After(pause):
		}
	}
}

func (d *demo) up(ctx context.Context) error {
	out, err := d.command(ctx, d.root, nil, "peyk-local", "up", "--name", d.name, "--nodes", fmt.Sprint(d.nodes), "-o", "json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), &d.cluster); err != nil {
		return fmt.Errorf("reading what peyk-local says: %w", err)
	}
	token, err := os.ReadFile(d.cluster.GitTokenFile)
	if err != nil {
		return fmt.Errorf("reading the Git server's token: %w", err)
	}
	d.gitToken = strings.TrimSpace(string(token))
	d.work = filepath.Join(d.cluster.StateDir, "demo")
	if err := os.RemoveAll(d.work); err != nil {
		return err
	}
	if err := os.MkdirAll(d.work, 0o700); err != nil {
		return err
	}
	return d.show(ctx, "kubectl", "get", "nodes")
}

func (d *demo) loadImages(ctx context.Context) error {
	cache := filepath.Join(d.cluster.StateDir, "demo-cache") // goes with the cluster
	return d.show(ctx, "peyk-local", "load", "--name", d.name, "--cache-dir", cache, "images/postgres", "images/redis")
}

// registry is the address of the local registry, without a scheme.
func (d *demo) registry() string {
	return strings.TrimPrefix(strings.TrimPrefix(d.cluster.URLs.Registry, "http://"), "https://")
}

// install builds Peyk's own image and installs it by its digest, so that a run with a changed binary rolls it out.
func (d *demo) install(ctx context.Context) error {
	out, err := d.command(ctx, d.root, nil, "peyk", "build", "./cmd/peyk", "--tag", d.registry()+"/peyk:local", "--push", "--insecure", "-o", "json")
	if err != nil {
		return err
	}
	var built struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal([]byte(out), &built); err != nil {
		return fmt.Errorf("reading what peyk build says: %w", err)
	}
	return d.show(ctx, "peyk", "install", "--image", "registry.localhost/peyk@"+built.Digest, "--ingress-host", "peyk.localhost")
}

func (d *demo) summary() {
	fmt.Printf("\nDone in %s:\n\n", seconds(time.Since(d.started)))
	for _, t := range d.times {
		fmt.Printf("%8s  %s\n", seconds(t.took), t.step)
	}
	fmt.Printf(`
Open:
  %-48s the sample application
  %-48s the Git server (repositories app and deploy)
  %-48s the image registry
  %-48s Peyk's webhooks
Look:
  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl get nodes,pods -A
  kubectl get pack -A
  helm list -A
  peyk get all -A
Change something: the work trees are %s/app and %s/deploy; commit and push.
Remove everything: make down
`,
		d.edge("ping.localhost")+"/ping", d.cluster.URLs.Git, "http://"+d.registry()+"/v2/_catalog", d.edge("peyk.localhost")+"/healthz",
		d.cluster.Kubeconfig, d.bin, d.work, d.work)
}
