package image

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The recipes of the repository, seen from this package.
const (
	postgresRecipe = "../../../images/postgres"
	redisRecipe    = "../../../images/redis"
)

const dataDir = "/var/lib/postgresql/data"

// query asks over the loopback, which is trusted as in the official image.
func query(password, database, sql string) ([]string, []string) {
	return []string{"PGPASSWORD=" + password}, []string{"psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-U", "app", "-d", database, "-c", sql}
}

func TestPostgresImage(t *testing.T) {
	root := unpacked(t, postgresRecipe)

	t.Run("first and second start as user 999", func(t *testing.T) {
		data, scripts := volume(t, 999, 999, 0o755), volume(t, 0, 0, 0o755)
		writeScript(t, scripts, "1-table.sql", "CREATE TABLE runs (who text); INSERT INTO runs VALUES ('sql');", 0o644)
		writeScript(t, scripts, "2-run.sh", "#!/bin/sh\npsql -X -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c \"INSERT INTO runs VALUES ('sh')\"\n", 0o755)
		writeScript(t, scripts, "3-sourced.sh", "process_sql -c \"INSERT INTO runs VALUES ('sourced')\"; echo \"port_marker = 1\" >\"$PGDATA/seen\"\n", 0o644)
		writeScript(t, scripts, "4-zipped.sql.gz", zipped(t, "INSERT INTO runs VALUES ('gz');"), 0o644)
		spec := containerSpec{
			uid: 999, gid: 999,
			env:    []string{"POSTGRES_USER=app", "POSTGRES_PASSWORD=it's a \"secret\"", "POSTGRES_DB=shop", "POSTGRES_INITDB_ARGS=--data-checksums --encoding='UTF8'"},
			args:   []string{"-c", "max_connections=37"},
			mounts: map[string]string{dataDir: data, "/docker-entrypoint-initdb.d": scripts},
		}
		c := root.start(t, spec)
		env, args := query("it's a \"secret\"", "shop", "SELECT string_agg(who, ',' ORDER BY who) FROM runs")
		c.until("gz,sh,sourced,sql", env, args...)
		for sql, want := range map[string]string{
			"SHOW max_connections": "37", "SHOW listen_addresses": "*", "SHOW data_checksums": "on", "SHOW password_encryption": "scram-sha-256",
			"SELECT 'ä' < 'b' COLLATE \"de-x-icu\"": "t", "SHOW server_encoding": "UTF8", "SELECT now() AT TIME ZONE 'Asia/Tehran' IS NOT NULL": "t",
		} {
			_, args := query("", "shop", sql)
			if got, err := c.exec(env, args...); err != nil || got != want {
				t.Errorf("%s: %q (%v), want %q", sql, got, err, want)
			}
		}
		c.addAddress()
		remote := []string{"psql", "-X", "-A", "-t", "-h", podAddress, "-U", "app", "-d", "shop", "-c", "SELECT 1"}
		if got, err := c.exec([]string{"PGPASSWORD=it's a \"secret\""}, remote...); err != nil || got != "1" {
			t.Errorf("the right password: %q (%v)", got, err)
		}
		if got, err := c.exec([]string{"PGPASSWORD=wrong"}, remote...); err == nil || !strings.Contains(got, "password authentication failed") {
			t.Errorf("a wrong password: %q (%v)", got, err)
		}
		if err := c.stop("INT"); err != nil {
			t.Errorf("stopping: %v\n%s", err, c.out)
		}
		if !strings.Contains(c.out.String(), "database system is shut down") || strings.Contains(c.out.String(), "secret") {
			t.Errorf("log:\n%s", c.out)
		}

		again := root.start(t, spec)
		env, args = query("it's a \"secret\"", "shop", "SELECT count(*) FROM runs")
		again.until("4", env, args...)
		if err := again.stop("INT"); err != nil {
			t.Errorf("stopping again: %v", err)
		}
	})

	t.Run("no password", func(t *testing.T) {
		c := root.start(t, containerSpec{uid: 999, gid: 999, mounts: map[string]string{dataDir: volume(t, 999, 999, 0o755)}})
		if err := c.wait(); err == nil || !strings.Contains(c.out.String(), "set POSTGRES_PASSWORD") {
			t.Errorf("%v: %s", err, c.out)
		}
	})

	t.Run("unknown user with fsGroup, password from a file", func(t *testing.T) {
		secrets := volume(t, 0, 0, 0o755)
		writeScript(t, secrets, "password", "from-a-file\n", 0o644)
		c := root.start(t, containerSpec{
			uid: 12345, gid: 0, groups: []int{2000},
			env:    []string{"POSTGRES_USER=app", "POSTGRES_PASSWORD_FILE=/run/secrets/password"},
			mounts: map[string]string{dataDir: volume(t, 0, 2000, 0o2775), "/run/secrets": secrets},
		})
		env, args := query("from-a-file", "app", "SHOW data_directory")
		c.until(dataDir+"/pgdata", env, args...)
		if err := c.stop("INT"); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})

	t.Run("root becomes postgres", func(t *testing.T) {
		data := volume(t, 0, 0, 0o755)
		c := root.start(t, containerSpec{env: []string{"POSTGRES_USER=app", "POSTGRES_HOST_AUTH_METHOD=trust"}, mounts: map[string]string{dataDir: data}})
		env, args := query("", "app", "SELECT 1")
		c.until("1", env, args...)
		if got, err := c.exec(nil, "stat", "-c", "%u", "/proc/1"); err != nil || got != "999" {
			t.Errorf("process 1 is of user %q (%v)", got, err)
		}
		if err := c.stop("TERM"); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})

	t.Run("first start that was cut short begins again", func(t *testing.T) {
		data, scripts := volume(t, 999, 999, 0o755), volume(t, 0, 0, 0o755)
		spec := containerSpec{
			uid: 999, gid: 999, env: []string{"POSTGRES_USER=app", "POSTGRES_PASSWORD=x"},
			mounts: map[string]string{dataDir: data, "/docker-entrypoint-initdb.d": scripts},
		}
		writeScript(t, scripts, "bad.sql", "SELECT broken;", 0o644)
		if err := root.start(t, spec).wait(); err == nil {
			t.Error("a broken script does not stop the start")
		}
		writeScript(t, scripts, "bad.sql", "CREATE TABLE mended ();", 0o644)
		c := root.start(t, spec)
		env, args := query("x", "app", "SELECT count(*) FROM mended")
		c.until("0", env, args...)
		if _, err := os.Stat(filepath.Join(data, ".first-start-unfinished")); err == nil {
			t.Error("the mark of an unfinished start stayed")
		}
	})
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
