package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// report is everything that a run measured.
type report struct {
	Operator string         `json:"operator"`
	Started  time.Time      `json:"started"`
	Machine  machine        `json:"machine"`
	Options  map[string]any `json:"options"`
	Results  []*measurement `json:"results"`

	mu sync.Mutex
}

type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memoryGiB"`
	Go         string  `json:"go"`
	Kubernetes string  `json:"kubernetes"`
}

// measurement is the result of one scenario.
type measurement struct {
	Scenario     string  `json:"scenario"`
	Source       string  `json:"source"`
	N            int     `json:"n"`
	Seconds      float64 `json:"seconds"`
	Ratio        float64 `json:"ratioToFloor,omitempty"`
	RatioChecked float64 `json:"ratioToCheckedFloor,omitempty"`
	// RatioCPU compares the processor time of everything that took part. A busy machine changes it less than the others.
	RatioCPU   float64            `json:"ratioOfCPUToFloor,omitempty"`
	CPU        map[string]float64 `json:"cpuSeconds"`
	MiB        map[string]float64 `json:"residentMiB"`
	PeakMiB    map[string]float64 `json:"peakMiB"`
	Requests   []requestCount     `json:"requests"`
	Managed    int                `json:"requestsForManagedObjects"`
	Total      int                `json:"requestsInAll"`
	Latency    *latency           `json:"latencySeconds,omitempty"`
	Notes      map[string]float64 `json:"notes,omitempty"`
	LoadBefore float64            `json:"loadAverageBefore"`
	LoadAfter  float64            `json:"loadAverageAfter"`
}

type requestCount struct {
	call
	Count int `json:"count"`
}

type latency struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	Max   float64 `json:"max"`
}

func newReport(o *options) *report {
	return &report{
		Operator: o.operator, Started: time.Now().UTC().Truncate(time.Second),
		Options: map[string]any{
			"workers": o.workers, "concurrent": o.concurrent, "interval": o.interval.String(), "idle": o.idle.String(),
			"rounds": o.changes, "drifts": o.drifts, "operatorArgs": o.args,
		},
	}
}

// describe fills in what the results were measured on.
func (r *report) describe(ctx context.Context, c *cluster) error {
	body, err := c.raw.Get().AbsPath("/version").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("asking for the version of Kubernetes: %w", err)
	}
	var version struct{ GitVersion string }
	if err := json.Unmarshal(body, &version); err != nil {
		return fmt.Errorf("reading the version of Kubernetes: %w", err)
	}
	info, err := statusOf("/proc/meminfo")
	if err != nil {
		return err
	}
	r.Machine = machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), MemoryGiB: info["MemTotal"] / (1 << 20),
		Go: runtime.Version(), Kubernetes: version.GitVersion,
	}
	return nil
}

func cpuModel() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// loadAverage of the last minute: a machine that others use gives other results.
func loadAverage() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var load float64
	_, _ = fmt.Sscan(string(data), &load)
	return load
}

func (m *measurement) addCalls(c calls) {
	for _, k := range c.sorted() {
		m.Requests = append(m.Requests, requestCount{k, c[k]})
	}
	m.Managed, m.Total = c.total(managed...), c.total()
}

func (m *measurement) addOutcome(o outcome) {
	m.Seconds, m.Notes = o.wall.Seconds(), o.notes
	if len(o.latencies) == 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(o.latencies))
	at := func(p float64) float64 { return sorted[int(p*float64(len(sorted)-1)+0.5)].Seconds() }
	m.Latency = &latency{Count: len(sorted), P50: at(0.5), P95: at(0.95), Max: at(1)}
}

func (m *measurement) wall() time.Duration { return time.Duration(m.Seconds * float64(time.Second)) }

// operatorCPU is the processor time of all processes of the operator.
func (m *measurement) operatorCPU() float64 { return sumOfOperator(m.CPU) }

// allCPU is the processor time of the operator, the API server and this program.
func (m *measurement) allCPU() float64 {
	sum := 0.0
	for _, v := range m.CPU {
		sum += v
	}
	return sum
}

func sumOfOperator(values map[string]float64) float64 {
	sum := 0.0
	for name, v := range values {
		if name != apiServer && name != "bench" {
			sum += v
		}
	}
	return sum
}

// line says the result in a few words.
func (m *measurement) line() string {
	text := fmt.Sprintf("%-24s %7.2fs  operator %.2fs CPU %.0f MiB, API server %.2fs CPU, %d requests",
		m.Scenario, m.Seconds, m.operatorCPU(), sumOfOperator(m.PeakMiB), m.CPU[apiServer], m.Total)
	if l := m.Latency; l != nil {
		text += fmt.Sprintf(", p50 %.3fs p95 %.3fs max %.3fs", l.P50, l.P95, l.Max)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Notes)) {
		text += fmt.Sprintf(", %s %.5g", name, m.Notes[name])
	}
	return text
}

func (r *report) add(m *measurement) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Results = append(r.Results, m)
}

// finish prints the results as tables, and writes them as JSON when file is not empty.
func (r *report) finish(out io.Writer, file string) error {
	if len(r.Results) == 0 {
		return nil
	}
	r.print(out)
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}

func (r *report) print(out io.Writer) {
	fmt.Fprintf(out, "%s, %d x %s, %.0f GiB, %s, Kubernetes %s\n\n", r.Operator, r.Machine.Cores, r.Machine.CPU,
		r.Machine.MemoryGiB, r.Machine.Go, r.Machine.Kubernetes)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\tsource\tN\tseconds\tx floor\tx checked\tx CPU\toperator CPU s\tpeak MiB\tAPI server CPU s\trequests\tmanaged\tp50\tp95\tmax\tload")
	for _, m := range r.Results {
		p50, p95, most := "", "", ""
		if l := m.Latency; l != nil {
			p50, p95, most = fmt.Sprintf("%.3f", l.P50), fmt.Sprintf("%.3f", l.P95), fmt.Sprintf("%.3f", l.Max)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%s\t%s\t%s\t%.2f\t%.0f\t%.2f\t%d\t%d\t%s\t%s\t%s\t%.1f\n", m.Scenario, m.Source, m.N, m.Seconds,
			ratio(m.Ratio), ratio(m.RatioChecked), ratio(m.RatioCPU), m.operatorCPU(), sumOfOperator(m.PeakMiB), m.CPU[apiServer], m.Total, m.Managed,
			p50, p95, most, m.LoadAfter)
	}
	_ = w.Flush()
	fmt.Fprintln(out, "\nRequests to the API server, without this program's own and without watches:")
	for _, m := range r.Results {
		if strings.HasPrefix(m.Scenario, "floor") {
			continue
		}
		fmt.Fprintf(out, "  %s, %d from %s: %s\n", m.Scenario, m.N, m.Source, m.requests())
	}
}

func (m *measurement) requests() string {
	var parts []string
	for _, q := range m.Requests {
		if q.Count*100 < m.Total {
			continue
		}
		dry := ""
		if q.DryRun {
			dry = " (dry run)"
		}
		parts = append(parts, fmt.Sprintf("%d %s %s%s", q.Count, q.Verb, q.Resource, dry))
	}
	return strings.Join(parts, ", ")
}

func ratio(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", x)
}

// writes counts the requests that wrote some resources.
func (m *measurement) writes(resources ...string) int {
	all := calls{}
	for _, q := range m.Requests {
		if q.Verb != "GET" && q.Verb != "LIST" && !q.DryRun {
			all[q.call] = q.Count
		}
	}
	return all.total(resources...)
}
