package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// outcome is what a scenario says of itself.
type outcome struct {
	wall      time.Duration
	latencies []time.Duration
	notes     map[string]float64
	// derive adds to the notes what follows from the measurement. Optional.
	derive func(*measurement)
}

// usage is the processor time of the watched processes, by pid.
type usage map[int]float64

func (r *round) usage() (usage, error) {
	used := usage{}
	for _, pid := range r.pids() {
		seconds, err := cpuSeconds(pid)
		if err != nil {
			return nil, err
		}
		used[pid] = seconds
	}
	return used, nil
}

const apiServer = "api-server"

// pids are the processes to watch, with the API server and this program.
func (r *round) pids() map[string]int {
	all := map[string]int{"bench": os.Getpid()}
	for name, pid := range r.processes() {
		all[name] = pid
	}
	if r.cluster.pid != 0 {
		all[apiServer] = r.cluster.pid
	}
	return all
}

// measure runs f when the cluster is quiet, and reports what it took.
func (r *round) measure(ctx context.Context, name string, f func(context.Context) (outcome, error)) (*measurement, error) {
	if err := r.cluster.quiet(ctx); err != nil {
		return nil, err
	}
	for _, pid := range r.processes() {
		forgetPeak(pid)
	}
	m := &measurement{Scenario: name, Source: r.source, N: r.n, LoadBefore: loadAverage()}
	servedBefore, err := r.cluster.served(ctx)
	if err != nil {
		return nil, err
	}
	profiles := r.startProfile(ctx, name)
	sentBefore := r.cluster.sent.snapshot()
	before, err := r.usage()
	if err != nil {
		return nil, err
	}
	result, err := f(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.fill(ctx, m, before); err != nil {
		return nil, err
	}
	servedAfter, err := r.cluster.served(ctx)
	if err != nil {
		return nil, err
	}
	m.addCalls(servedAfter.minus(servedBefore).minus(r.cluster.sent.snapshot().minus(sentBefore)))
	m.addOutcome(result)
	if result.derive != nil {
		result.derive(m)
	}
	r.report.add(m)
	r.progress("%s", m.line())
	return m, <-profiles
}

// fill writes what the processes used since before into m.
func (r *round) fill(_ context.Context, m *measurement, before usage) error {
	after, err := r.usage()
	if err != nil {
		return err
	}
	m.CPU, m.PeakMiB, m.MiB = map[string]float64{}, map[string]float64{}, map[string]float64{}
	for name, pid := range r.pids() {
		m.CPU[name] = after[pid] - before[pid]
		if m.MiB[name], m.PeakMiB[name], err = memory(pid); err != nil {
			return err
		}
	}
	m.LoadAfter = loadAverage()
	return nil
}

// startProfile fetches profiles of the operator while a scenario runs, and sends once they are written.
func (r *round) startProfile(ctx context.Context, name string) <-chan error {
	done := make(chan error, 1)
	if r.o.profile == "" || r.operator == nil || r.operator.pprof == "" {
		done <- nil
		return done
	}
	seconds := min(max(r.n/40, 5), 30)
	go func() {
		if err := os.MkdirAll(r.o.profile, 0o700); err != nil {
			r.progress("no profiles: %v", err)
		}
		for kind, path := range map[string]string{
			"cpu": fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), "heap": "/debug/pprof/heap",
		} {
			data, err := fetch(ctx, r.operator.pprof+path)
			if err == nil {
				file := filepath.Join(r.o.profile, fmt.Sprintf("%s-%s-%d.%s.pb.gz", name, r.source, r.n, kind))
				err = os.WriteFile(file, data, 0o600)
			}
			if err != nil {
				// The operator may be the one that a scenario ends.
				r.progress("no %s profile of %s: %v", kind, name, err)
			}
		}
		done <- nil
	}()
	return done
}
