package notify

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
)

const childFolder = "PEYK_TEST_QUEUE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		if err := hearForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// hearForEver takes events from several sides and says which ones were taken.
func hearForEver(dir string) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta3.AddToScheme, ksv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	objects := []client.Object{alert("all", "hook", nil)}
	bus, err := New(Options{
		Path: filepath.Join(dir, "notifications.db"), Scheme: scheme, Log: slog.New(slog.DiscardHandler),
		Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
	})
	if err != nil {
		return err
	}
	var out sync.Mutex
	var wait sync.WaitGroup
	for side := range 4 {
		wait.Go(func() {
			for i := 0; ; i++ {
				message := fmt.Sprintf("%d-%d", side, i)
				bus.Hear(heard("app", message))
				out.Lock()
				fmt.Println(message)
				out.Unlock()
			}
		})
	}
	wait.Wait()
	return nil
}

func TestNothingIsLostWhenTheProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	told := map[string]bool{}
	for range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test
		child.Env = append(os.Environ(), childFolder+"="+dir)
		child.Stderr = os.Stderr
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			told[strings.TrimSpace(lines.Text())] = true
			if n == 60 {
				if err := child.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait()
	}
	if len(told) < 60 {
		t.Fatalf("only %d events were taken", len(told))
	}
	s := newSink(t, nil)
	b := &bench{T: t, dir: dir, log: &lockedBuilder{}}
	b.client = fake.NewClientBuilder().WithScheme(newScheme(t)).
		WithObjects(provider("hook", s.URL), secret(), alert("all", "hook", nil)).Build()
	b.start(quick())
	t.Cleanup(func() { b.stop() })
	b.eventually("the queue is empty", func() bool { return b.bus.queue.size() == 0 })
	for _, e := range s.got() {
		delete(told, e.Message)
	}
	if len(told) > 0 {
		t.Errorf("%d events that were taken did not arrive: %v", len(told), told)
	}
	if strings.Contains(b.log.String(), "put aside") {
		t.Error("the queue was broken")
	}
}
