package node

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peyk/peyk/local/internal/process"
)

// Run prepares the node and keeps containerd and the agent running. It must be called by the first process of the node's
// namespaces, and returns only on errors.
func Run(ctx context.Context, c Config) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("starting a node: this command is for peyk-local itself: it wants to be the first process of a namespace")
	}
	if err := unix.Sethostname([]byte(c.Node.Name)); err != nil {
		return fmt.Errorf("naming the node: %w", err)
	}
	if err := c.prepareMounts(); err != nil {
		return err
	}
	if err := c.writeRuntimeFiles(); err != nil {
		return err
	}
	if err := c.prepareNetwork(ctx); err != nil {
		return err
	}
	r := newReaper()
	go r.run()
	go r.keep("containerd", c.Programs.Containerd,
		[]string{"--config", c.path("containerd.toml"), "--address", runtimeSocket, "--log-level", "info"}, c.attributes("containerd"))
	if err := waitSocket(ctx, runtimeSocket); err != nil {
		return err
	}
	go r.keep("agent", c.Programs.Kube, []string{"agent",
		"--state-dir", string(c.Dir),
		"--node", c.Node.Name,
		"--ip", c.Node.IP,
		"--cgroup-root", c.CgroupRoot,
		"--runtime-socket", runtimeSocket,
	}, c.attributes("kubelet"))
	<-ctx.Done()
	return ctx.Err()
}

// attributes are made anew for each start of a program, because its log may have been put aside.
func (c Config) attributes(program string) func() (*os.ProcAttr, error) {
	component := c.Node.Name + "/" + program
	return func() (*os.ProcAttr, error) {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", os.DevNull, err)
		}
		log, err := process.OpenLog(c.Dir.Log(component))
		if err != nil {
			null.Close()
			return nil, err
		}
		return &os.ProcAttr{
			Dir: "/",
			// The shim is found beside containerd.
			Env: []string{
				"PATH=" + filepath.Dir(c.Programs.Containerd) + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				process.MarkDir + "=" + string(c.Dir),
				process.MarkComponent + "=" + component,
			},
			Files: []*os.File{null, log, log},
		}, nil
	}
}

func waitSocket(ctx context.Context, path string) error {
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for containerd: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
