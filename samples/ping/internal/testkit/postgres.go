package testkit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresPassword is the password of the test servers. It needs percent-encoding in an address.
const PostgresPassword = "pg:s3cret/pass"

// Postgres is a running PostgreSQL server with an empty database.
type Postgres struct {
	*process
	// URI is the address of the database.
	URI string
}

// StartPostgres starts a server for one test.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	initdb := binary(t, "initdb", "postgresql-15", "/usr/lib/postgresql/*/bin/initdb")
	server := filepath.Join(filepath.Dir(initdb), "postgres")
	dir, cred := postgresDir(t)
	data := filepath.Join(dir, "data")
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(PostgresPassword), 0o644); err != nil {
		t.Fatalf("writing the password file: %v", err)
	}
	create := exec.Command(initdb, "--pgdata", data, "--username", "user", "--pwfile", password, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	create.Dir = dir
	create.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("creating a database cluster: %v: %s", err, out)
	}
	var address string
	p := launch(t, func(port int) *process {
		address = (&url.URL{
			Scheme: "postgres",
			User:   url.UserPassword("user", PostgresPassword),
			Host:   "127.0.0.1:" + strconv.Itoa(port),
			Path:   "/postgres",
		}).String()
		return &process{
			t: t, name: "postgres", path: server, dir: dir, cred: cred, log: filepath.Join(dir, "log"),
			args: []string{"-D", data, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
				"-c", "shared_buffers=16MB", "-c", "dynamic_shared_memory_type=mmap"},
			// An immediate stop: connections break as they do when a server dies.
			end:   syscall.SIGQUIT,
			ready: func() error { return query(address, "SELECT 1") },
		}
	})
	return &Postgres{process: p, URI: address}
}

// Count returns the number of rows in a table.
func (p *Postgres) Count(t testing.TB, table string) int {
	t.Helper()
	var count int
	p.Do(t, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{table}.Sanitize()).Scan(&count)
	})
	return count
}

// Do runs do on a connection of its own.
func (p *Postgres) Do(t testing.TB, do func(ctx context.Context, conn *pgx.Conn) error) {
	t.Helper()
	if err := connected(p.URI, do); err != nil {
		t.Fatalf("asking the test database: %v", err)
	}
}

func query(uri, sql string) error {
	return connected(uri, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

func connected(uri string, do func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(ctx, conn)
}

// postgresDir returns a folder for the server and, when the tests run as root, the user to run it as: PostgreSQL refuses root.
func postgresDir(t testing.TB) (string, *syscall.Credential) {
	t.Helper()
	// Not t.TempDir: its parents may be closed to other users.
	dir, err := os.MkdirTemp("", "ping-postgres-")
	if err != nil {
		t.Fatalf("making a folder for PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing the folder of PostgreSQL: %v", err)
		}
	})
	if os.Getuid() != 0 {
		return dir, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("looking for a user to run PostgreSQL as: %v; install one with: apt-get install -y postgresql-common", err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		t.Fatalf("reading the ids of user postgres: %s:%s", account.Uid, account.Gid)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatalf("handing the folder to user postgres: %v", err)
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
