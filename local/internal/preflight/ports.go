package preflight

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/peyk/peyk/local/internal/cluster"
)

// portWish is one port to be found.
type portWish struct {
	flag string
	// asked is what the user asked for; zero leaves the choice.
	asked int
	// before is the port of an earlier start, kept when it is free.
	before int
	// usual are tried next, in this order.
	usual []int
	set   *int
}

// ChoosePorts finds free ports on the loopback address. Ports that the user asked for are taken or refused; others are kept
// from an earlier start where they are free still.
func ChoosePorts(spec cluster.Spec, before cluster.Ports) (cluster.Ports, error) {
	var p cluster.Ports
	asked := spec.Ports
	wishes := []portWish{{"--api-port", asked.API, before.API, nil, &p.API}}
	if !spec.ControlPlaneOnly {
		wishes = append(wishes,
			portWish{"--registry-port", asked.Registry, before.Registry, []int{5000}, &p.Registry},
			portWish{"--git-port", asked.Git, before.Git, []int{3000}, &p.Git},
			portWish{"--http-port", asked.HTTP, before.HTTP, []int{80, 8080}, &p.HTTP},
			portWish{"--https-port", asked.HTTPS, before.HTTPS, []int{443, 8443}, &p.HTTPS},
		)
	}
	if spec.ServesS3() {
		wishes = append(wishes, portWish{"--s3-port", asked.S3, before.S3, []int{9000}, &p.S3})
	}
	// Listeners stay open until all are chosen, so that no port is chosen twice.
	var open []net.Listener
	defer func() {
		for _, l := range open {
			l.Close()
		}
	}()
	for _, w := range wishes {
		l, err := w.find()
		if err != nil {
			return p, err
		}
		open = append(open, l)
		*w.set = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

func (w portWish) find() (net.Listener, error) {
	if w.asked != 0 {
		l, err := listen(w.asked)
		if err != nil {
			return nil, fmt.Errorf("%s %d cannot be used (end the program that uses it, or choose another): %w", w.flag, w.asked, err)
		}
		return l, nil
	}
	if w.before != 0 {
		if l, err := listenPatiently(w.before); err == nil {
			return l, nil
		}
	}
	for _, port := range w.usual {
		if l, err := listen(port); err == nil {
			return l, nil
		}
	}
	return listen(0)
}

// listenPatiently waits a little for a port: a killed process closes its sockets a moment after it can no longer be found.
func listenPatiently(port int) (net.Listener, error) {
	const patience, pause = 2 * time.Second, 50 * time.Millisecond
	deadline := time.Now().Add(patience)
	for {
		l, err := listen(port)
		if err == nil || time.Now().After(deadline) {
			return l, err
		}
		time.Sleep(pause)
	}
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
