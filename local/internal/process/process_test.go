package process

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/peyk/peyk/local/internal/cluster"
)

// TestMain lets the test's own program be the child that ends with its parent.
func TestMain(m *testing.M) {
	if os.Getenv("PROCESS_TEST_CHILD") != "" {
		ExitWithParent()
		time.Sleep(time.Minute)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func startChild(t *testing.T, dir cluster.Dir) *Child {
	t.Helper()
	cmd, err := Prepare(dir, "part", os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "PROCESS_TEST_CHILD=1")
	c, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Cmd.Process.Kill() })
	return c
}

func mustEnd(t *testing.T, c *Child) {
	t.Helper()
	select {
	case <-c.Done:
	case <-time.After(10 * time.Second):
		t.Fatal("the child lives on")
	}
}

func TestChildEndsWithItsLifeline(t *testing.T) {
	c := startChild(t, cluster.Dir(t.TempDir()))
	c.Release()
	mustEnd(t, c)
}

func TestFindAndKillAll(t *testing.T) {
	dir := cluster.Dir(t.TempDir())
	c := startChild(t, dir)
	found, err := Find(dir)
	if err != nil || len(found) != 1 || found[0].PID != c.Cmd.Process.Pid || found[0].Component != "part" || found[0].MemoryBytes == 0 {
		t.Fatalf("found %+v, %v, want the child %d", found, err, c.Cmd.Process.Pid)
	}
	if other, err := Find(cluster.Dir(t.TempDir())); err != nil || len(other) != 0 {
		t.Fatalf("another cluster has %+v, %v", other, err)
	}
	if err := KillAll(dir); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, c)
}

func TestStartNamesTheProgram(t *testing.T) {
	if _, err := Start(exec.Command("/nowhere/program")); err == nil || !strings.Contains(err.Error(), "/nowhere/program") {
		t.Errorf("got %v", err)
	}
}

func TestOpenLogPutsLargeLogsAside(t *testing.T) {
	dir := cluster.Dir(t.TempDir())
	path := dir.Log("node-1/part")
	f, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxLog + 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f, err = OpenLog(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("the log was not begun anew: %v, %v", info.Size(), err)
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() != maxLog+1 {
		t.Errorf("the old log is lost: %v", err)
	}
}
