package cli

import (
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/peyk/peyk/internal/operator"
)

// Access says which cluster to speak to. Empty fields are as the kubeconfig says.
type Access struct {
	Kubeconfig, Context, Namespace string
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
	overrides := &clientcmd.ConfigOverrides{CurrentContext: access.Context}
	overrides.Context.Namespace = access.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := loader.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, "", unreachableError{errors.New("no cluster is configured: name a kubeconfig with --kubeconfig or KUBECONFIG")}
	case err != nil:
		return nil, "", unreachableError{fmt.Errorf("reading the kubeconfig: %w: see 'kubectl config get-contexts' for the contexts there are", err)}
	}
	config.UserAgent = "peyk"
	config.QPS = -1
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, "", unreachableError{fmt.Errorf("reading the kubeconfig: %w", err)}
	}
	return config, namespace, nil
}
