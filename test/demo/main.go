// Command demo delivers the sample application from a git push to a running service on a local cluster, step by step, and
// says how long each step took.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	d := &demo{}
	flag.StringVar(&d.name, "name", "demo", "name of the local cluster")
	flag.IntVar(&d.nodes, "nodes", 1, "number of nodes")
	flag.StringVar(&d.bin, "bin", "bin", "directory of the binaries")
	flag.StringVar(&d.root, "root", ".", "directory of Peyk's repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo: "+err.Error())
		stop()
		os.Exit(1)
	}
}
