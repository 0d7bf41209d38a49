// Package netns makes network namespaces that live exactly as long as something holds them, and opens sockets and
// starts processes inside them. Nothing is mounted under /run/netns, so a killed holder leaves nothing behind.
package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespace is an open handle of a network namespace. The namespace ends when the handle is closed and no process or
// socket is left inside it.
type Namespace struct {
	file *os.File
}

// New makes an empty network namespace. It needs CAP_SYS_ADMIN.
func New() (*Namespace, error) {
	var ns *Namespace
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return fmt.Errorf("opening the new network namespace: %w", err)
		}
		ns = &Namespace{file: f}
		return nil
	})
	return ns, err
}

// OfProcess opens the network namespace of a running process.
func OfProcess(pid int) (*Namespace, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace of process %d: %w", pid, err)
	}
	return &Namespace{file: f}, nil
}

// FD is the file descriptor of the handle, for calls that take one. It stays owned by the Namespace.
func (n *Namespace) FD() int { return int(n.file.Fd()) }

// Close gives up the handle.
func (n *Namespace) Close() error { return n.file.Close() }

// Do runs f on a thread inside the namespace. Processes that f starts and sockets that f opens belong to the namespace;
// goroutines that f starts do not.
func (n *Namespace) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		return f()
	})
}

// Listen opens a listening socket inside the namespace. The address must be a literal IP and port.
func (n *Namespace) Listen(network, address string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// DialContext connects from inside the namespace. The address must be a literal IP and port, because a resolver's
// goroutines would look names up outside.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", address, err)
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dialling %s: the host must be an IP address", address)
	}
	var conn net.Conn
	err = n.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// onOwnThread runs f on a thread of its own, which ends with f: a thread that changed its namespace is never reused.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Without UnlockOSThread the thread is destroyed when the goroutine ends.
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}
