package charts_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The image's entry point, reduced to what the chart's script relies on: it makes a database in $PGDATA step by step
// where there is none, and becomes the server.
const imageEntryPoint = `#!/bin/sh
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    echo 15 >"$PGDATA/PG_VERSION"
    if [ -e "$HOLD" ]; then echo held; while :; do sleep 0.02; done; fi
    echo whole >"$PGDATA/users"
fi
exec postgres "$@"
`

// TestMain lets the test binary stand in for the server: a shell script could not listen to an interrupt that it
// inherits as ignored, the real server can.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "postgres" {
		serve()
	}
	os.Exit(m.Run())
}

func serve() {
	if slices.Equal(os.Args[1:], []string{"--version"}) {
		fmt.Println("postgres (PostgreSQL) 15.6 (Debian 15.6-1.pgdg120+2)")
		os.Exit(0)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	listener, err := net.Listen("unix", os.Getenv("SOCKET"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	users, err := os.ReadFile(filepath.Join(os.Getenv("PGDATA"), "users"))
	fmt.Printf("serving %s users=%s err=%v %s\n", filepath.Base(os.Getenv("PGDATA")), strings.TrimSpace(string(users)), err, os.Args[1:])
	for received := range signals {
		fmt.Println("got", received)
		if received == syscall.SIGINT {
			listener.Close()
			os.Exit(0)
		}
	}
}

// pod is the script of the postgres chart in a folder of its own.
type pod struct {
	t      *testing.T
	dir    string
	hold   string
	script *exec.Cmd
	output *lockedBuffer
}

func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{t: t, dir: t.TempDir()}
	p.hold = filepath.Join(p.dir, "hold")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.write("bin/docker-entrypoint.sh", imageEntryPoint)
	p.write("conf/postgresql.conf", "work_mem = 4MB")
	p.write("conf/pg_hba.conf", "local all all trust")
	p.write("data/lost+found", "")
	script := read(t, "postgres/files/entrypoint.sh")
	for from, to := range map[string]string{
		"/var/lib/postgresql/conf":          p.dir + "/conf",
		"/var/run/postgresql/.s.PGSQL.5432": p.dir + "/s",
		"sleep 5":                           "sleep 0.05",
	} {
		if !strings.Contains(script, from) {
			t.Fatalf("the script has no %q", from)
		}
		script = strings.ReplaceAll(script, from, to)
	}
	p.write("entrypoint.sh", script)
	if err := os.Symlink(self, filepath.Join(p.dir, "bin/postgres")); err != nil {
		t.Fatal(err)
	}
	// A pod keeps its folders when a container in it dies: the socket of a server that was killed is still there.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(p.dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pod) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pod) start() {
	p.t.Helper()
	p.output = &lockedBuffer{}
	p.script = exec.Command("/bin/sh", filepath.Join(p.dir, "entrypoint.sh"))
	p.script.Env = []string{
		"PATH=" + p.dir + "/bin:" + os.Getenv("PATH"), "PGDATA=" + p.dir + "/data/pgdata", "HOLD=" + p.hold, "SOCKET=" + p.dir + "/s",
	}
	p.script.Stdout, p.script.Stderr = p.output, p.output
	// The watcher outlives the script where no container ends it, and keeps the output open.
	p.script.WaitDelay = time.Second
	p.script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.script.Start(); err != nil {
		p.t.Fatal(err)
	}
	group := p.script.Process.Pid
	p.t.Cleanup(func() { _ = syscall.Kill(-group, syscall.SIGKILL) })
}

func (p *pod) expect(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(p.output.String(), text) {
			return
		}
	}
	p.t.Fatalf("no %q in:\n%s", text, p.output)
}

// stop sends what the kubelet sends, and returns the exit code.
func (p *pod) stop() int {
	p.t.Helper()
	if err := p.script.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	err := p.script.Wait()
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) && p.script.ProcessState == nil {
		p.t.Fatal(err)
	}
	return p.script.ProcessState.ExitCode()
}

func TestPostgresStartsReloadsAndStops(t *testing.T) {
	p := newPod(t)
	p.start()
	p.expect("serving pgdata users=whole err=<nil>")
	if first, _, _ := strings.Cut(p.output.String(), "\n"); !strings.HasPrefix(first, "serving pgdata.new") || !strings.HasSuffix(first, "-c listen_addresses=]") {
		t.Errorf("the database is made in sight of everybody: %s", first)
	}
	p.write("conf/pg_hba.conf", "host all all all reject")
	p.expect("configuration changed, reloading")
	p.expect("got hangup")
	if code := p.stop(); code != 0 {
		t.Errorf("exit code %d after:\n%s", code, p.output)
	}
	p.expect("got interrupt")

	p.start()
	p.expect("serving pgdata users=whole err=<nil>")
	if strings.Contains(p.output.String(), "pgdata.new") {
		t.Errorf("a database that exists is made again:\n%s", p.output)
	}
	p.stop()
}

// TestPostgresInterruptedCreation holds that a start which ends half-way leaves nothing that passes for a database.
func TestPostgresInterruptedCreation(t *testing.T) {
	p := newPod(t)
	p.write("hold", "")
	p.start()
	p.expect("held")
	if code := p.stop(); code == 0 {
		t.Error("exit code 0 though there is no database")
	}
	if _, err := os.Stat(filepath.Join(p.dir, "data/pgdata")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("half a database is in its place: %v", err)
	}
	if err := os.Remove(p.hold); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.expect("serving pgdata users=whole err=<nil>")
	p.stop()
}

// TestPostgresDies holds that the container ends with its server, so that the kubelet starts it again.
func TestPostgresDies(t *testing.T) {
	p := newPod(t)
	p.start()
	p.expect("serving pgdata users=whole")
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.script.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range strings.Fields(string(children)) {
		name, err := os.ReadFile("/proc/" + child + "/comm")
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(name)) != "postgres" {
			continue
		}
		var pid int
		if _, err := fmt.Sscan(child, &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	_ = p.script.Wait()
	if code := p.script.ProcessState.ExitCode(); code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit code %d after:\n%s", code, p.output)
	}
}

// TestPostgresTakesOver holds that the database of a volume that comes from elsewhere is used where it lies.
func TestPostgresTakesOver(t *testing.T) {
	p := newPod(t)
	p.write("data/data/PG_VERSION", "15\n")
	p.write("data/data/users", "theirs")
	// The real server would take the place of the one that was killed by itself.
	if err := os.Remove(filepath.Join(p.dir, "s")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p.start()
		p.expect("using the database in the volume's folder data")
		p.expect("serving data users=theirs err=<nil>")
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d after:\n%s", code, p.output)
		}
		p.holdsNoOther()
	}
}

// TestPostgresIsStuck holds that no empty database takes the place of one that cannot be used.
func TestPostgresIsStuck(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		owner int
		want  string
	}{
		{"another version", map[string]string{"PG_VERSION": "16\n"}, 0, "has PostgreSQL 16 and the image 15.6 (Debian 15.6-1.pgdg120+2); give an image of version 16 as tag"},
		{"a version that begins alike", map[string]string{"PG_VERSION": "1\n"}, 0, "give an image of version 1 as tag"},
		{"a level below", map[string]string{"pgdata/PG_VERSION": "15\n"}, 0, "has files, but no PG_VERSION that can be read; move the database among them into a folder pgdata of the volume, or empty data"},
		{"another user", map[string]string{"PG_VERSION": "15\n"}, 70, "belongs to another user; run chown -R "},
		{"top of the volume", map[string]string{"../PG_VERSION": "15\n"}, 0, "not making an empty database: the volume has one at its top; move its files into a folder pgdata there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPod(t)
			for name, text := range c.files {
				p.write("data/data/"+name, text)
			}
			if c.owner != 0 {
				if os.Geteuid() != 0 && os.Getenv("CI") == "" {
					t.Skip("only root gives files away; with CI set this fails")
				}
				if err := os.Chown(filepath.Join(p.dir, "data/data"), c.owner, -1); err != nil {
					t.Fatal(err)
				}
			}
			p.start()
			p.expect(c.want)
			if err := p.script.Wait(); err == nil {
				t.Error("exit code 0 though there is no database")
			}
			p.holdsNoOther()
		})
	}
}

// TestPostgresEmptyFolder holds that a folder in which nothing is does not stand in the way.
func TestPostgresEmptyFolder(t *testing.T) {
	p := newPod(t)
	if err := os.Mkdir(filepath.Join(p.dir, "data/data"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.expect("serving pgdata users=whole err=<nil>")
	p.stop()
}

// holdsNoOther says when a database was made on the volume.
func (p *pod) holdsNoOther() {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.dir, "data/pgdata*"))
	if err != nil || len(found) != 0 {
		p.t.Errorf("there is %v, %v", found, err)
	}
}

// lockedBuffer collects output that is read while it grows.
type lockedBuffer struct {
	guard  sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.guard.Lock()
	defer b.guard.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.guard.Lock()
	defer b.guard.Unlock()
	return b.buffer.String()
}
