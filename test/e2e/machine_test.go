package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// look lists what a cluster might leave behind on the machine, processes apart.
func look() (map[string][]string, error) {
	seen := map[string][]string{}
	for what, args := range map[string][]string{
		"mounts":             {"findmnt", "-rno", "TARGET,SOURCE,FSTYPE"},
		"links":              {"ip", "-o", "link", "show"},
		"routes":             {"ip", "route", "show", "table", "all"},
		"network namespaces": {"ip", "netns", "list"},
		"firewall":           {"nft", "list", "ruleset"},
	} {
		out, err := exec.Command(args[0], args[1:]...).Output() //nolint:gosec // fixed commands
		if err != nil {
			return nil, fmt.Errorf("running %s (apt-get install -y iproute2 nftables util-linux): %w", args[0], err)
		}
		seen[what] = strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	var err error
	seen["control groups"], err = filepath.Glob("/sys/fs/cgroup/*/peyk-local/" + name + "*")
	return seen, err
}

// process is what /proc says of a process. Ids are used again, so the id of a process is here its number and its start.
type process struct {
	number, parent, program string
	// marked says whether it carries the mark of the cluster's own programs.
	marked bool
}

// processes returns the processes of the machine by their ids.
func processes() (map[string]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	found := map[string]process{}
	for _, dir := range dirs {
		// See proc_pid_stat(5). A process that ended meanwhile has nothing to say.
		data, err := os.ReadFile(filepath.Join(dir, "stat")) //nolint:gosec // below /proc
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(data), ") ")
		fields := strings.Fields(after)
		if len(fields) < 20 {
			continue
		}
		environment, _ := os.ReadFile(filepath.Join(dir, "environ")) //nolint:gosec // as above
		program, _ := os.Readlink(filepath.Join(dir, "exe"))
		number := filepath.Base(dir)
		found[number+" started at "+fields[19]] = process{
			number: number, parent: fields[1], program: program,
			marked: bytes.Contains(environment, []byte("PEYK_LOCAL_DIR="+local.StateDir+"\x00")),
		}
	}
	return found, nil
}

// members returns the cluster's processes by their ids: its own programs, and with them everything in its pods.
func members() (map[string]process, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	parents, inside := map[string]string{}, map[string]bool{}
	for _, p := range all {
		parents[p.number] = p.parent
		inside[p.number] = p.marked
	}
	found := map[string]process{}
	for id, p := range all {
		for at := p.number; at != "" && at != "0"; at = parents[at] {
			if inside[at] {
				found[id] = p
				break
			}
		}
	}
	return found, nil
}

// noneRuns says which of the cluster's processes, as they were once, or of its own programs runs.
func noneRuns(owned map[string]process) error {
	running, err := processes()
	if err != nil {
		return err
	}
	for id, p := range running {
		if _, was := owned[id]; was || p.marked {
			return fmt.Errorf("the process %s (%s) of the cluster is left", id, p.program)
		}
	}
	return nil
}
