// Command standin is what runs in the place of the images that samples name. Called as date it prints the date, with the
// argument wait_for_db it finds the database there; otherwise it listens on $PORTS until it is told to stop.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	switch {
	case filepath.Base(os.Args[0]) == "date":
		fmt.Println(time.Now().UTC().Format(time.UnixDate))
		return nil
	case slices.Equal(os.Args[1:], []string{"wait_for_db"}):
		return nil
	case len(os.Args) > 1:
		return fmt.Errorf("unknown arguments %q: the stand-in knows wait_for_db", os.Args[1:])
	}
	for _, port := range strings.FieldsFunc(os.Getenv("PORTS"), func(r rune) bool { return r == ',' }) {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return fmt.Errorf("listening on $PORTS: %w", err)
		}
		go accept(listener)
	}
	// Process 1 of a container has no default actions for signals.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	return nil
}

// accept hangs up on everybody: probes ask for no more than a connection.
func accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}
