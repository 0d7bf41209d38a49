package supervisor

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

func TestServiceName(t *testing.T) {
	tests := []struct {
		host, name, namespace string
		ok                    bool
	}{
		{"peyk.peyk-system.svc", "peyk", "peyk-system", true},
		{"peyk.peyk-system.svc.cluster.local", "peyk", "peyk-system", true},
		{"peyk.peyk-system", "", "", false},
		{"example.com", "", "", false},
		{"a.b.c.svc", "", "", false},
	}
	for _, tt := range tests {
		name, namespace, ok := serviceName(tt.host)
		if name != tt.name || namespace != tt.namespace || ok != tt.ok {
			t.Errorf("%s: got %q, %q, %v", tt.host, name, namespace, ok)
		}
	}
}

func TestWebhooksDoNotLeaveTheMachine(t *testing.T) {
	s := &supervisor{}
	if c, err := s.dialWebhook(context.Background(), "tcp", "example.com:80"); err == nil {
		c.Close()
		t.Error("a name outside of the cluster was dialled")
	}
}

// echo answers each connection with what it got, once the peer has ended its side.
func echo(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				data, err := io.ReadAll(c)
				if err == nil {
					_, _ = c.Write(data)
				}
			}()
		}
	}()
	return l
}

func TestForwardPassesHalfClosedConnections(t *testing.T) {
	target := echo(t)
	front, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- forward(ctx, front, func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", target.Addr().String())
		})
	}()
	c, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("forwarding goes on after its context has ended")
	}
}
