// Package cli is Peyk's command line, one command a file.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// App is the command line with what differs between the real one and a test's.
type App struct {
	// Version of the binary, such as v0.1.0.
	Version string
	// Connect reaches the cluster. Nil: as the kubeconfig says.
	Connect func(Access) (*Cluster, error)
	// Stdin is what commands read. Nil: that of the process.
	Stdin io.Reader
	// Poll is the time between two looks at what a command waits for. Zero: 200 ms.
	Poll time.Duration

	access Access
	plain  bool
	// limit is the value of --timeout.
	limit time.Duration
	// asked says that the command spoke to a cluster, so that network errors are the cluster's.
	asked bool
}

// Run runs the command line that args say and returns the exit code of the process.
func (a *App) Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := a.newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if a.Stdin != nil {
		root.SetIn(a.Stdin)
	}
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if a.asked {
		err = explainCluster(err, a.access)
	}
	say := newPrinter(stderr, a.plain)
	say.Failure("%s", err)
	code := codeOf(err)
	if code == ExitUsage {
		_, _ = fmt.Fprintf(stderr, "Run '%s --help' for its usage.\n", command.CommandPath())
	}
	if _, ok := errors.AsType[trouble](err); ok && code == ExitFailed {
		return ExitTrouble
	}
	return code
}

func (a *App) newRoot() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "peyk",
		Short: "Carry an application from a git push to a running service on Kubernetes",
		Long: `Peyk carries an application from a git push to a running service on Kubernetes, with Git as the only source of truth.

Exit codes:
  0  done
  1  it failed, or the object is not ready
  2  the command line is wrong; of 'peyk diff': it cannot be told what differs
  3  the cluster cannot be reached
  4  there is no such object

Every command also takes kubectl's flags for another server or user: --as, --as-group, --as-uid, --as-user-extra, --cluster, --user,
--server, --token, --certificate-authority, --client-certificate, --client-key, --tls-server-name, --insecure-skip-tls-verify,
--disable-compression; and --kube-api-qps and --kube-api-burst.`,
		Example: `  # put Peyk into the cluster of the current context
  peyk install

  # see what it keeps in step with Git
  peyk get all -A`,
		SilenceUsage: true, SilenceErrors: true,
	})
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	flags := root.PersistentFlags()
	flags.StringVar(&a.access.Kubeconfig, "kubeconfig", "", "kubeconfig file (default: $KUBECONFIG, then ~/.kube/config)")
	flags.StringVarP(&a.access.Context, "context", "x", "", "context of the kubeconfig (default: its current one)")
	flags.StringVarP(&a.access.Namespace, "namespace", "n", "", "namespace of the objects (default: that of the context)")
	flags.DurationVar(&a.limit, "timeout", 5*time.Minute, "how long to wait for the cluster")
	a.access.kubectlFlags(flags)
	flags.BoolVar(&a.plain, "no-color", false, "never colour the output (also with NO_COLOR in the environment)")
	root.AddCommand(
		a.newBootstrap(),
		a.newBuild(),
		a.newCheck(),
		a.newCI(),
		a.newCreate(),
		a.newDebug(),
		a.newDelete(),
		a.newDiff(),
		a.newEvents(),
		a.newExport(),
		a.newGet(),
		a.newInstall(),
		a.newLogs(),
		a.newMigrate(),
		a.newOperator(),
		a.newPack(),
		a.newReconcile(),
		a.newResume(),
		a.newStats(),
		a.newSuspend(),
		a.newTrace(),
		a.newTree(),
		a.newUninstall(),
		a.newVault(),
		a.newVersion(),
	)
	root.AddCommand(a.kubitPackCommands()...)
	return root
}

// group makes a command that only holds others: alone it prints its help, and it says what is near to a wrong word.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		for _, near := range cmd.SuggestionsFor(args[0]) {
			message += fmt.Sprintf(", did you mean %q?", near)
		}
		return usagef("%s", message)
	}
	return c
}

// wants makes wrong numbers of arguments usage errors.
func wants(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// connect reaches the cluster that the flags say.
func (a *App) connect() (*Cluster, error) {
	a.asked = true
	if a.Connect != nil {
		return a.Connect(a.access)
	}
	return Connect(a.access)
}

func (a *App) poll() time.Duration {
	if a.Poll > 0 {
		return a.Poll
	}
	return 200 * time.Millisecond
}
