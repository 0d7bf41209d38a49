// Command peyk-local-kube holds the programs of Kubernetes: the control plane, or the agent of a node. peyk-local starts it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/peyk/peyk/local/internal/kubecmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := kubecmd.New().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "peyk-local-kube: "+err.Error())
		os.Exit(1)
	}
}
