package cli

import (
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/controller/redeploy"
	"github.com/peyk/peyk/internal/install"
	"github.com/peyk/peyk/internal/operator"
)

// steadyGC is the operator's GOGC, unless the environment has one: three fifths of the usual garbage, for a little more work.
const steadyGC = 60

func (a *App) newOperator() *cobra.Command {
	o := operator.Options{
		HTTPAddr: ":9090", MetricsAddr: ":8080", ArtifactAddr: ":9790", DataDir: "/data", Concurrent: 10,
	}
	level, format := "info", "text"
	var multiTenant, noRemoteBases bool
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Run the operator",
		Long: `Run the operator: the controllers, the webhooks and the artifact server, until the process is told to stop. In a cluster
this is what the Deployment runs; outside it works on the cluster of the kubeconfig.`,
		Example: `  # on your own machine, against the cluster of the current context
  peyk operator --data-dir ./data --artifact-url http://127.0.0.1:9790`,
		Args: wants(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLog(cmd.ErrOrStderr(), level, format)
			if err != nil {
				return err
			}
			a.asked = true
			config, _, err := load(a.access)
			if err != nil {
				return err
			}
			o.Config, o.Log, o.Namespace = config, log, a.access.Namespace
			if o.Namespace == "" {
				o.Namespace = install.DefaultNamespace
			}
			if multiTenant {
				o.Tenancy = o.Tenancy.LockDown()
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(steadyGC)
			}
			return operator.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.HTTPAddr, "http-addr", o.HTTPAddr, "address of the webhooks, /healthz and /readyz")
	flags.StringVar(&o.MetricsAddr, "metrics-addr", o.MetricsAddr, "address of /metrics")
	flags.StringVar(&o.APIAddr, "api-addr", "", "address of admission and of 'peyk pack template', for the cluster's API server (default: off)")
	flags.StringVar(&o.PprofAddr, "pprof-addr", "", "address of Go's profiles, for measuring; use a loopback address, for it tells what the process does (default: off)")
	flags.StringVar(&o.ArtifactAddr, "artifact-addr", o.ArtifactAddr, "address of the artifacts")
	flags.StringVar(&o.ArtifactURL, "artifact-url", "", "base of the artifacts' URLs (default: Peyk's Service)")
	flags.IntVar(&o.ArtifactRecords, "artifact-retention-records", artifact.Retention, "how many artifacts of each source are kept")
	flags.DurationVar(&o.ArtifactTTL, "artifact-retention-ttl", artifact.TTL, "how long an artifact is kept after a newer one took its place")
	flags.StringVar(&o.DataDir, "data-dir", o.DataDir, "folder of artifacts, Git mirrors and charts; it may be lost")
	flags.IntVar(&o.Concurrent, "concurrent", o.Concurrent, "how many objects of each kind are worked on at the same time")
	flags.BoolVar(&o.LeaderElect, "leader-elect", false, "work only while holding the lease, for several replicas")
	flags.DurationVar(&o.RedeployAfter, "redeploy-after", redeploy.Quiet, "how long nothing may have changed of what a workload watches before its pods are rolled")
	flags.StringVar(&o.SkipMark, "commit-skip-mark", "", "text in the messages of Peyk's commits that keeps a Git server which takes no push options from starting a pipeline, such as '[skip ci]'")
	addTenancy(flags, &o, &multiTenant, &noRemoteBases)
	flags.StringVar(&level, "log-level", level, "debug, info, warn or error")
	flags.StringVar(&format, "log-format", format, "text or json")
	return cmd
}

// addTenancy adds the flags that keep tenants apart, by the names that Flux's controllers have for them.
func addTenancy(flags *pflag.FlagSet, o *operator.Options, multiTenant, noRemoteBases *bool) {
	t := &o.Tenancy
	flags.BoolVar(multiTenant, "multi-tenant", false, "keep tenants apart: --no-cross-namespace-refs and --default-service-account=default")
	flags.BoolVar(&t.NoCrossNamespaceRefs, "no-cross-namespace-refs", false, "refuse references to objects of another namespace")
	flags.StringVar(&t.DefaultServiceAccount, "default-service-account", "", "service account that is impersonated for objects that name none (default: none, Peyk's own rights)")
	flags.BoolVar(noRemoteBases, "no-remote-bases", true, "refuse bases that kustomize would have to download; always so")
	flags.BoolVar(&t.KubeconfigExec, "insecure-kubeconfig-exec", false, "let kubeconfigs of remote clusters run programs in Peyk's container")
	flags.BoolVar(&t.KubeconfigInsecureTLS, "insecure-kubeconfig-tls", false, "let kubeconfigs of remote clusters leave out the check of certificates")
	flags.StringSliceVar(&o.ReflectFrom, "trusted-reflection-namespaces", nil, "namespaces whose SecretReflectors write into every namespace, without its leave and with Peyk's own rights")
	flags.StringVar(&o.SOPSAgeSecret, "sops-age-secret", "", "Secret in Peyk's namespace with age keys, for Kustomizations that decrypt and name no Secret")
}

func newLog(out io.Writer, level, format string) (*slog.Logger, error) {
	if err := checkFormat(format, "text", "json"); err != nil {
		return nil, err
	}
	var options slog.HandlerOptions
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, usagef("log level %q: choose one of debug, info, warn, error", level)
	}
	options.Level = parsed
	if format == "json" {
		options.ReplaceAttr = likeFlux
		return slog.New(slog.NewJSONHandler(out, &options)), nil
	}
	return slog.New(slog.NewTextHandler(out, &options)), nil
}

// likeFlux gives the attributes of a line the names that stock tools look for, such as `flux logs`.
func likeFlux(groups []string, attr slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return attr
	}
	switch attr.Key {
	case slog.TimeKey:
		return slog.String("ts", attr.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
	case slog.LevelKey:
		return slog.String(slog.LevelKey, strings.ToLower(attr.Value.String()))
	case "err":
		attr.Key = "error"
	}
	return attr
}
