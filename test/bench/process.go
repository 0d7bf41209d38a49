package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticks is how many clock ticks a second /proc counts in: USER_HZ, which is 100 on every architecture that Go runs on.
const ticks = 100

// cpuSeconds returns the processor time that a process has used.
func cpuSeconds(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading the times of process %d: %w", pid, err)
	}
	// The second field is the program's name in parentheses, which may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("reading the times of process %d: %d fields", pid, len(fields))
	}
	sum := 0.0
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the times of process %d: %w", pid, err)
		}
		sum += n
	}
	return sum / ticks, nil
}

// forgetPeak makes a process's peak of memory start anew. Where the kernel does not let us, the peak is that since its start.
func forgetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// memory returns the resident memory of a process in MiB, now and at its peak.
func memory(pid int) (now, peak float64, err error) {
	values, err := statusOf(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	return values["VmRSS"] / 1024, values["VmHWM"] / 1024, nil
}

// statusOf reads the lines "Name:   123 kB" of a file in /proc.
func statusOf(file string) (map[string]float64, error) {
	data, err := os.ReadFile(file) //nolint:gosec // below /proc
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	values := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		text, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = n
		}
	}
	return values, lines.Err()
}
