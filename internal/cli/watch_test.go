package cli_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
)

// screen is an output that can be read while it is written.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns when the screen shows the text n times.
func (s *screen) await(t *testing.T, text string, n int) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for strings.Count(s.String(), text) < n {
		select {
		case <-deadline:
			t.Fatalf("waited for %d times %q, got:\n%s", n, text, s)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestWatch(t *testing.T) {
	c := newClient(t, interceptor.Funcs{}, inventory()...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out screen
	ended := make(chan int, 1)
	go func() { ended <- newApp(c).Run(ctx, []string{"get", "packs", "-w"}, &out, &out) }()

	out.await(t, "postgres", 2)
	pack := &packv1.Pack{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: "base", Name: "postgres"}, pack); err != nil {
		t.Fatal(err)
	}
	// A change that the row does not show is not printed; the second one is.
	pack.Annotations = map[string]string{"a": "b"}
	must(t, c.Update(ctx, pack))
	pack.Status.ResolvedVersion = "0.6.4"
	must(t, c.Update(ctx, pack))
	out.await(t, "0.6.4", 1)
	if got := strings.Count(out.String(), "0.6.3"); got != 1 {
		t.Errorf("the first version is printed %d times, want once:\n%s", got, &out)
	}
	if err := c.Delete(ctx, pack); err != nil {
		t.Fatal(err)
	}
	out.await(t, "deleted", 1)
	stop()
	if code := <-ended; code != cli.ExitOK {
		t.Errorf("exit code = %d, want 0 when people stop it", code)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
