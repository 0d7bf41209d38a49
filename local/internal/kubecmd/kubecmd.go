// Package kubecmd is the command line of peyk-local-kube, which is meant for peyk-local and not for people.
package kubecmd

import (
	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/agent"
	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/controlplane"
	"github.com/peyk/peyk/local/internal/process"
)

// New returns the command.
func New() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "peyk-local-kube",
		Short:         "Run the programs of Kubernetes for peyk-local",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(newCmdControlPlane(), newCmdAgent())
	return cmd
}

func newCmdControlPlane() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "control-plane",
		Short:   "Run etcd, the API server, the controller manager and the scheduler",
		Example: "  peyk-local-kube control-plane --state-dir /var/lib/peyk-local/demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			process.ExitWithParent()
			return controlplane.Run(cmd.Context(), cluster.Dir(dir))
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", "state directory of the cluster")
	return cmd
}

func newCmdAgent() *cobra.Command {
	var (
		dir string
		c   agent.Config
	)
	cmd := &cobra.Command{
		Use:     "agent",
		Short:   "Run the kubelet and kube-proxy of a node",
		Example: "  peyk-local-kube agent --state-dir /var/lib/peyk-local/demo --node node-1 --ip 10.88.1.1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Dir = cluster.Dir(dir)
			return agent.Run(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "state-dir", "", "state directory of the cluster")
	f.StringVar(&c.Node.Name, "node", "", "name of the node")
	f.StringVar(&c.Node.IP, "ip", "", "address of the node")
	f.StringVar(&c.CgroupRoot, "cgroup-root", "", "control group below which pods run")
	f.StringVar(&c.RuntimeSocket, "runtime-socket", "", "path of containerd's socket")
	return cmd
}
