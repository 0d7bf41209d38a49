package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// bench is one run of this program.
type bench struct {
	o      *options
	run    string // value of runLabel
	dir    string // for everything on disk
	report *report
}

func run(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp("", "peyk-bench-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{o: o, run: strconv.FormatInt(time.Now().Unix(), 36), dir: dir, report: newReport(o)}
	var failed error
	for _, n := range o.counts {
		for _, source := range o.rounds() {
			if err := b.round(ctx, n, source); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%d applications from %s: %w", n, source, err))
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(failed, b.report.finish(os.Stdout, o.json))
}

// round is a number of applications of one source, in a cluster of their own.
type round struct {
	*bench
	n        int
	source   string
	cluster  *cluster
	git      *gitServer
	registry *artifactRegistry
	charts   *chartServer
	operator *operator
	board    *board
	hook     string            // path of the Receiver
	wanted   map[string]string // revision of each Kustomization, as applied reads it
	floors   floors
	cleanups []func() error
}

func (b *bench) round(ctx context.Context, n int, source string) (err error) {
	r := &round{bench: b, n: n, source: source, wanted: map[string]string{}}
	defer func() {
		for i := len(r.cleanups) - 1; i >= 0; i-- {
			err = errors.Join(err, r.cleanups[i]())
		}
	}()
	if err := r.setUp(ctx); err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	for _, s := range scenarios {
		if !s.when(r) {
			continue
		}
		if err := r.limited(ctx, s); err != nil {
			if r.operator.logFile != "" {
				err = fmt.Errorf("%w\nthe operator said:\n%s", err, r.operator.said())
			}
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
	}
	return nil
}

func (r *round) limited(ctx context.Context, s scenario) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.timeout, fmt.Errorf("the limit of %s is over", r.o.timeout))
	defer cancel()
	return s.run(r, ctx)
}

// setUp makes everything that is there before the first clock starts, and measures the first floor.
func (r *round) setUp(ctx context.Context) error {
	r.progress("setting up")
	steps := []func(context.Context) error{r.startServers, r.reachCluster, r.makeSpaces, r.firstFloor, r.startOperator, r.makeReceiver, r.watch}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %4d %s  %s\n", time.Now().Format(time.TimeOnly), r.n, r.source, fmt.Sprintf(format, args...))
}

func (r *round) cleanup(f func() error) { r.cleanups = append(r.cleanups, f) }

func (r *round) startServers(ctx context.Context) error {
	dir, err := os.MkdirTemp(r.dir, "round-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	r.dirOfRound(dir)
	if r.git, err = startGit(ctx, dir); err != nil {
		return err
	}
	r.cleanup(r.git.stop)
	if r.registry, err = startRegistry(ctx); err != nil {
		return err
	}
	r.cleanup(r.registry.stop)
	if r.charts, err = startCharts(ctx); err != nil {
		return err
	}
	r.cleanup(r.charts.stop)
	return nil
}

// dirOfRound makes dir the place of what the round writes.
func (r *round) dirOfRound(dir string) {
	b := *r.bench
	b.dir = dir
	r.bench = &b
	r.cleanup(func() error { return os.RemoveAll(dir) })
}

func (r *round) reachCluster(ctx context.Context) (err error) {
	if r.o.kubeconfig == "" {
		nodes := 0
		if r.source == sourcePack {
			nodes = 1
		}
		r.cluster, err = startCluster(ctx, r.dir, nodes)
	} else {
		r.cluster, err = connect(r.o.kubeconfig)
	}
	if err != nil {
		return err
	}
	r.cleanup(r.leave)
	return r.report.describe(ctx, r.cluster)
}

func (r *round) startOperator(ctx context.Context) (err error) {
	if r.o.kubeconfig != "" {
		r.operator = &operator{webhook: r.o.webhook, metrics: r.o.metrics, pprof: r.o.pprof}
		return nil
	}
	if r.operator, err = newPeyk(r.o, r.cluster, r.dir); err != nil {
		return err
	}
	r.cleanup(func() error { r.operator.stop(syscall.SIGTERM); return nil })
	return r.operator.start(ctx)
}

// processes are the processes to watch, by name.
func (r *round) processes() map[string]int {
	if r.operator == nil || r.operator.cmd == nil {
		return r.o.processes
	}
	return map[string]int{peyk: r.operator.cmd.Process.Pid}
}
