package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	operator   string
	program    string
	kubeconfig string
	processes  processFlag
	webhook    string
	metrics    string
	pprof      string
	args       []string

	counts     []int
	scenarios  []string
	sources    []string
	workers    int
	concurrent int
	changes    int
	drifts     int
	idle       time.Duration
	interval   time.Duration
	timeout    time.Duration

	json    string
	profile string
}

// processFlag is a list of name=pid.
type processFlag map[string]int

// String returns the flag's default.
func (p processFlag) String() string { return "" }

// Set reads one name=pid.
func (p processFlag) Set(value string) error {
	name, text, ok := strings.Cut(value, "=")
	pid, err := strconv.Atoi(text)
	if !ok || err != nil {
		return errors.New("give name=pid")
	}
	p[name] = pid
	return nil
}

const peyk = "peyk"

func parseOptions(args []string) (*options, error) {
	o := &options{processes: processFlag{}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.operator, "operator", peyk, "name of the operator; peyk is started with a cluster of its own unless --kubeconfig is given")
	f.StringVar(&o.program, "program", "", "Peyk's program (default: bin/peyk of this repository)")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "cluster in which the operator runs already")
	f.Var(o.processes, "process", "name=pid of a process to watch (repeatable)")
	f.StringVar(&o.webhook, "webhook", "", "base URL of the operator's Receivers; without it sources are annotated (--kubeconfig only)")
	f.StringVar(&o.metrics, "metrics", "", "URL of the operator's metrics (--kubeconfig only)")
	f.StringVar(&o.pprof, "pprof", "", "base URL of the operator's pprof (--kubeconfig only)")
	operatorArgs := f.String("operator-args", "", "more arguments for `peyk operator`, separated by spaces")
	counts := f.String("n", "100", "numbers of applications, separated by commas")
	scenarios := f.String("scenarios", strings.Join(defaults(), ","), "scenarios to run: "+describeScenarios())
	sources := f.String("sources", "git,oci", "where the applications come from: git (one repository), oci (an artifact each)")
	f.IntVar(&o.workers, "workers", 40, "workers of the bare client")
	f.IntVar(&o.concurrent, "concurrent", 10, "--concurrent of peyk operator")
	f.IntVar(&o.changes, "rounds", 30, "rounds of scenario c")
	f.IntVar(&o.drifts, "drifts", 100, "objects that scenario e changes")
	f.DurationVar(&o.idle, "idle", 5*time.Minute, "how long scenario d watches")
	f.DurationVar(&o.interval, "interval", time.Minute, "spec.interval of everything")
	f.DurationVar(&o.timeout, "timeout", 10*time.Minute, "limit of one scenario")
	f.StringVar(&o.json, "json", "", "file for the results as JSON")
	f.StringVar(&o.profile, "profile", "", "folder for CPU and heap profiles of each scenario")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.args = strings.Fields(*operatorArgs)
	o.scenarios, o.sources = split(*scenarios), split(*sources)
	for _, text := range split(*counts) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("--n: %q is not a number of applications", text)
		}
		o.counts = append(o.counts, n)
	}
	return o, o.check()
}

func (o *options) check() error {
	for _, s := range o.scenarios {
		if !slices.ContainsFunc(scenarios, func(known scenario) bool { return known.name == s }) {
			return fmt.Errorf("--scenarios: there is no scenario %q; choose of %s", s, describeScenarios())
		}
	}
	for _, s := range o.sources {
		if s != sourceGit && s != sourceOCI {
			return fmt.Errorf("--sources: %q is not one of git, oci", s)
		}
	}
	if o.wants("p") && (o.kubeconfig != "" || os.Getuid() != 0) {
		return errors.New("--scenarios p: it starts a cluster with a node, which root can, and takes no other")
	}
	if o.kubeconfig == "" && o.operator != peyk {
		return errors.New("--operator: only peyk is started by this program; give --kubeconfig for one that runs already")
	}
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// rounds are the sources to measure, each in a cluster of its own.
func (o *options) rounds() []string {
	var all []string
	if o.wants("a", "b", "c", "d", "e", "f", "h") {
		all = append(all, o.sources...)
	}
	if o.wants("g") {
		all = append(all, sourceHelm)
	}
	if o.wants("p") {
		all = append(all, sourcePack)
	}
	return all
}
