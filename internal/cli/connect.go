package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/peyk/peyk/internal/operator"
)

// Access says which cluster to speak to. Empty fields are as the kubeconfig says.
type Access struct {
	Kubeconfig, Context, Namespace string

	server   clientcmdapi.Cluster
	user     clientcmdapi.AuthInfo
	of       clientcmdapi.Context
	extra    []string // of whom the user acts as, as key=value
	requests rest.Config
}

// kubectlFlags adds the flags by which kubectl and flux say how to reach the API server, and as whom. They are not in the help
// of every command.
func (x *Access) kubectlFlags(flags *pflag.FlagSet) {
	names, none := clientcmd.RecommendedConfigOverrideFlags(""), clientcmd.FlagInfo{}
	names.AuthOverrideFlags.Username, names.AuthOverrideFlags.Password, names.ClusterOverrideFlags.ProxyURL = none, none, none
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	clientcmd.BindAuthInfoFlags(&x.user, own, names.AuthOverrideFlags)
	clientcmd.BindClusterFlags(&x.server, own, names.ClusterOverrideFlags)
	names.ContextOverrideFlags.ClusterName.BindStringFlag(own, &x.of.Cluster)
	names.ContextOverrideFlags.AuthInfoName.BindStringFlag(own, &x.of.AuthInfo)
	own.StringArrayVar(&x.extra, "as-user-extra", nil, "more about the user to impersonate, as key=value; may be repeated")
	own.Float32Var(&x.requests.QPS, "kube-api-qps", 0, "most requests a second to the API server (default: no limit)")
	own.IntVar(&x.requests.Burst, "kube-api-burst", 0, "most requests at once where --kube-api-qps is given")
	own.Bool("ns-follows-kube-context", true, "take the namespace of the context, which is done in any case")
	own.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	flags.AddFlagSet(own)
}

// overrides are what the flags say instead of the kubeconfig. It fails when one of them cannot be read.
func (x *Access) overrides() (*clientcmd.ConfigOverrides, error) {
	o := &clientcmd.ConfigOverrides{CurrentContext: x.Context, ClusterInfo: x.server, AuthInfo: x.user, Context: x.of}
	o.Context.Namespace = x.Namespace
	for _, pair := range x.extra {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("--as-user-extra %s: give it as key=value", pair)
		}
		if o.AuthInfo.ImpersonateUserExtra == nil {
			o.AuthInfo.ImpersonateUserExtra = map[string][]string{}
		}
		o.AuthInfo.ImpersonateUserExtra[key] = append(o.AuthInfo.ImpersonateUserExtra[key], value)
	}
	return o, nil
}

// Cluster is a cluster that can be spoken to.
type Cluster struct {
	Client client.WithWatch
	// Config that the client was made of. Nil in tests that have no API server.
	Config *rest.Config
	// Namespace that the user means when none is named.
	Namespace string
}

// Connect makes a client for the cluster of the kubeconfig, or inside a pod for the pod's cluster. It does not call the
// cluster yet.
func Connect(access Access) (*Cluster, error) {
	config, namespace, err := load(access)
	if err != nil {
		return nil, err
	}
	scheme, err := operator.NewScheme()
	if err != nil {
		return nil, fmt.Errorf("registering the kinds: %w", err)
	}
	// The client would complain after a while that nobody said where its own log goes.
	log.SetLogger(logr.Discard())
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making the client: %w", err)
	}
	return &Cluster{Client: c, Config: config, Namespace: namespace}, nil
}

func load(access Access) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = access.Kubeconfig
	overrides, err := access.overrides()
	if err != nil {
		return nil, "", err
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, "", unreachableError{errors.New("no cluster is configured: name a kubeconfig with --kubeconfig or KUBECONFIG")}
	case err != nil:
		return nil, "", unreachableError{fmt.Errorf("reading the kubeconfig: %w: see 'kubectl config get-contexts' for the contexts there are", err)}
	}
	config.UserAgent = "peyk"
	config.QPS, config.Burst = cmp.Or(access.requests.QPS, -1), access.requests.Burst
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", unreachableError{fmt.Errorf("reading the kubeconfig: %w", err)}
	}
	return config, namespace, nil
}
