// Command peyk-local runs a real Kubernetes on one Linux machine.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/peyk/peyk/local/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Main(ctx, os.Stderr))
}
