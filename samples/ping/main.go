// Command ping is a small web service: GET /ping answers from Redis, and from PostgreSQL when Redis has no answer.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	// The image holds nothing but this binary, so the roots that TLS needs travel inside it.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/peyk/peyk/samples/ping/internal/app"
)

// version is set at build time: go build -ldflags "-X main.version=1a2b3c4".
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(app.Main(ctx, os.Getenv, os.Stdout, version))
}
