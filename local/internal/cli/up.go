package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/lifecycle"
)

const upHelp = `Start the cluster, or make sure that it runs, and wait until it can be used.

Run it again at any time: a running cluster is left alone, and one whose supervisor was killed
is started again with its data. Ports are chosen free unless given. The state of the cluster
outlives killed processes; etcd does not sync every write to the disk, so a power cut may cost it.`

func newCmdUp(t *target) *cobra.Command {
	var (
		spec   cluster.Spec
		output string
	)
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Start the cluster",
		Long:    upHelp,
		Example: "  sudo peyk-local up\n  sudo peyk-local up --name big --nodes 3\n  peyk-local up --control-plane-only -o json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := t.dir()
			if err != nil {
				return err
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			spec.Name = t.name
			if spec.ControlPlaneOnly {
				spec.Nodes = 0
			}
			show := progress(cmd.ErrOrStderr())
			if err := lifecycle.Up(cmd.Context(), dir, spec, show); err != nil {
				return err
			}
			s, err := lifecycle.Describe(dir)
			if err != nil {
				return err
			}
			return printStatus(cmd.OutOrStdout(), s, output, printReady)
		},
	}
	f := cmd.Flags()
	f.IntVar(&spec.Nodes, "nodes", 1, "number of nodes")
	f.BoolVar(&spec.ControlPlaneOnly, "control-plane-only", false, "no nodes and no services beside: needs no root")
	f.BoolVar(&spec.WithoutS3, "without-s3", false, "no object store beside the cluster (it takes about 30 MiB)")
	f.DurationVar(&spec.NodeGrace, "node-grace", 20*time.Second, "silence after which a node counts as lost")
	f.IntVar(&spec.Ports.API, "api-port", 0, "port of the API server on 127.0.0.1 (0: a free one)")
	f.IntVar(&spec.Ports.Registry, "registry-port", 0, "port of the image registry (0: 5000 or a free one)")
	f.IntVar(&spec.Ports.Git, "git-port", 0, "port of the Git server (0: 3000 or a free one)")
	f.IntVar(&spec.Ports.S3, "s3-port", 0, "port of the object store, which speaks S3 (0: 9000 or a free one)")
	f.IntVar(&spec.Ports.HTTP, "http-port", 0, "port of the edge for HTTP (0: 80, 8080 or a free one)")
	f.IntVar(&spec.Ports.HTTPS, "https-port", 0, "port of the edge for HTTPS (0: 443, 8443 or a free one)")
	addOutputFlag(cmd, &output)
	return cmd
}

// progress shows each step with the time since the start.
func progress(w io.Writer) func(cluster.Step) {
	format := "%6.1fs  %s\n"
	if isTerminal(w) {
		format = "\x1b[2m%6.1fs\x1b[0m  %s\n"
	}
	return func(s cluster.Step) { fmt.Fprintf(w, format, s.Seconds, s.Name) }
}

func printReady(w io.Writer, s lifecycle.Status) {
	fmt.Fprintf(w, "Cluster %q runs Kubernetes %s", s.Name, s.Kubernetes)
	if n := len(s.Steps); n > 0 {
		fmt.Fprintf(w, " (ready after %s)", time.Duration(s.Steps[n-1].Seconds*float64(time.Second)).Round(100*time.Millisecond))
	}
	fmt.Fprintf(w, ".\n\n")
	printURLs(w, s)
	fmt.Fprintf(w, "\nUse it:  export KUBECONFIG=%s\nor:      peyk-local kubeconfig --name %s --merge\n", s.Kubeconfig, s.Name)
}
