// Command bench measures an operator that serves Flux's kinds: how long it takes to bring many applications into a cluster and
// to change them, what it asks of the API server, and what it costs, next to a bare client that applies the same objects.
// docs/benchmarks.md says what each scenario measures.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	options, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = run(ctx, options)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
