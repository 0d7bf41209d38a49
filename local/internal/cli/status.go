package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/peyk/peyk/local/internal/lifecycle"
)

func newCmdStatus(t *target) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the cluster's addresses and processes",
		Example: `  sudo peyk-local status
  sudo peyk-local status -o json

  # KUBECONFIG and the addresses as variables of this shell
  eval "$(sudo peyk-local status -o env)"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			dir, err := t.dir()
			if err != nil {
				return err
			}
			s, err := lifecycle.Describe(dir)
			if err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), s, output, printTable)
		},
	}
	addOutputFlag(cmd, &output)
	return cmd
}

func addOutputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "print as json, yaml or env (variables of a shell)")
}

func checkOutput(output string) error {
	switch output {
	case "", "json", "yaml", "env":
		return nil
	}
	return usageError{fmt.Errorf("--output %q: want json or yaml, or env", output)}
}

func printStatus(w io.Writer, s lifecycle.Status, output string, text func(io.Writer, lifecycle.Status)) error {
	var (
		data []byte
		err  error
	)
	switch output {
	case "json":
		data, err = json.MarshalIndent(s, "", "  ")
		data = append(data, '\n')
	case "yaml":
		data, err = yaml.Marshal(s)
	case "env":
		data = environment(s)
	default:
		text(w, s)
		return nil
	}
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	_, err = w.Write(data)
	return err
}

// environment says where everything is, as commands of a POSIX shell.
func environment(s lifecycle.Status) []byte {
	var out bytes.Buffer
	export := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&out, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
	}
	host := func(address string) string {
		return strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
	}
	export("KUBECONFIG", s.Kubeconfig)
	export("PEYK_LOCAL_GIT", s.URLs.Git)
	export("PEYK_LOCAL_GIT_TOKEN_FILE", s.GitTokenFile)
	export("PEYK_LOCAL_REGISTRY", host(s.URLs.Registry))
	export("PEYK_LOCAL_S3", s.URLs.S3)
	export("PEYK_LOCAL_S3_CREDENTIALS_FILE", s.S3CredentialsFile)
	if _, port, err := net.SplitHostPort(host(s.URLs.HTTP)); err == nil {
		export("PEYK_LOCAL_EDGE_PORT", port)
	} else if s.URLs.HTTP != "" {
		export("PEYK_LOCAL_EDGE_PORT", "80")
	}
	if s.Inside != nil {
		export("PEYK_LOCAL_INSIDE_GIT", s.Inside.Git)
		export("PEYK_LOCAL_INSIDE_REGISTRY", host(s.Inside.Registry))
		export("PEYK_LOCAL_INSIDE_S3", s.Inside.S3)
	}
	return out.Bytes()
}

func printTable(w io.Writer, s lifecycle.Status) {
	fmt.Fprintf(w, "Cluster:     %s (Kubernetes %s), %s\n", s.Name, s.Kubernetes, state(s))
	fmt.Fprintf(w, "State:       %s\n", s.StateDir)
	printURLs(w, s)
	if len(s.Processes) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tPROGRAM\tPID\tMEMORY\tPEAK")
	for _, p := range s.Processes {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d MiB\t%d MiB\n", p.Component, p.Program, p.PID, p.MemoryBytes>>20, p.PeakBytes>>20)
	}
	// The writer below reports its own errors when it is flushed by the program's end.
	_ = table.Flush()
}

func state(s lifecycle.Status) string {
	switch {
	case s.Ready:
		return "ready"
	case s.Running:
		return "starting"
	case s.Error != "":
		return "stopped: " + s.Error
	default:
		return "stopped: `peyk-local up` starts it again with its data"
	}
}

func printURLs(w io.Writer, s lifecycle.Status) {
	line := func(name, url, inside string) {
		if url == "" {
			return
		}
		if inside != "" {
			inside = "  (from pods: " + inside + ")"
		}
		fmt.Fprintf(w, "%-12s %s%s\n", name+":", url, inside)
	}
	var in lifecycle.URLs
	if s.Inside != nil {
		in = *s.Inside
	}
	line("API", s.URLs.API, in.API)
	line("Git", s.URLs.Git, in.Git)
	line("Registry", s.URLs.Registry, in.Registry)
	line("S3", s.URLs.S3, in.S3)
	line("Edge", s.URLs.HTTP, in.HTTP)
	line("Edge (TLS)", s.URLs.HTTPS, in.HTTPS)
	line("Git token", s.GitTokenFile, "")
	line("S3 keys", s.S3CredentialsFile, "")
	line("Kubeconfig", s.Kubeconfig, "")
}
