// Package cli is the command line of peyk-local: one command a file.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/cluster"
)

// Exit codes of the program.
const (
	exitError     = 1
	exitUsage     = 2
	exitNoCluster = 3
)

const longHelp = `peyk-local runs a real Kubernetes on one Linux machine, without Docker: etcd, API server,
controllers, scheduler, and nodes with containerd, kubelet and kube-proxy, each node in
namespaces of its own. Beside it run a Git server, an image registry, an S3 server, volumes,
and an edge that routes http://NAME.localhost to Ingresses. The network of the host is not touched.

Exit codes: 0 done; 1 an error; 2 a wrong command line; 3 there is no such cluster.`

// usageError marks errors of the command line itself.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// target is the cluster that a command is about.
type target struct {
	name     string
	stateDir string
}

// dir resolves the state directory to an absolute path.
func (t target) dir() (cluster.Dir, error) {
	if t.stateDir == "" {
		return cluster.DefaultDir(t.name)
	}
	abs, err := filepath.Abs(t.stateDir)
	if err != nil {
		return "", fmt.Errorf("--state-dir %s: %w", t.stateDir, err)
	}
	return cluster.Dir(abs), nil
}

// New returns the program's command.
func New() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:           "peyk-local",
		Short:         "A real Kubernetes on one Linux machine",
		Long:          longHelp,
		Example:       "  sudo peyk-local up\n  sudo peyk-local kubeconfig --merge\n  sudo peyk-local down",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.PersistentFlags().StringVar(&t.name, "name", "peyk", "name of the cluster")
	cmd.PersistentFlags().StringVar(&t.stateDir, "state-dir", "", "directory of the cluster's files (default /var/lib/peyk-local/NAME for root, else ~/.local/state/peyk-local/NAME)")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.AddCommand(
		newCmdUp(&t),
		newCmdDown(&t),
		newCmdStatus(&t),
		newCmdKubeconfig(&t),
		newCmdLogs(&t),
		newCmdLoad(&t),
		newCmdPower(&t),
		newCmdVersion(),
		newCmdSupervise(),
		newCmdNode(),
	)
	return cmd
}

// Main runs the program and returns its exit code.
func Main(ctx context.Context, stderr io.Writer) int {
	err := New().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	label := "error:"
	if isTerminal(stderr) {
		label = "\x1b[31merror:\x1b[0m"
	}
	fmt.Fprintln(stderr, label, err)
	switch {
	case errors.As(err, new(usageError)) || strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.Is(err, cluster.ErrNoCluster):
		return exitNoCluster
	default:
		return exitError
	}
}

// noArgs refuses arguments as an error of the command line.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q: see --help", cmd.CommandPath(), args[0])}
	}
	return nil
}

// isTerminal reports whether colours may be written; NO_COLOR turns them off.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
