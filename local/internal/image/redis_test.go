package image

import (
	"strings"
	"testing"
)

func TestRedisImage(t *testing.T) {
	root := unpacked(t, redisRecipe)

	t.Run("default command as user 999", func(t *testing.T) {
		data := volume(t, 0, 999, 0o2775)
		spec := containerSpec{uid: 999, gid: 999, mounts: map[string]string{"/data": data}, args: []string{"--appendonly", "yes", "--requirepass", "secret"}}
		c := root.start(t, spec)
		password := []string{"REDISCLI_AUTH=secret"}
		c.until("PONG", password, "redis-cli", "ping")
		if got, _ := c.exec(nil, "redis-cli", "ping"); !strings.Contains(got, "NOAUTH") {
			t.Errorf("without a password: %q", got)
		}
		c.until("OK", password, "redis-cli", "set", "k", "kept")
		c.until("protected-mode\nno", password, "redis-cli", "config", "get", "protected-mode")
		c.until("dir\n/data", password, "redis-cli", "config", "get", "dir")
		if err := c.stop("TERM"); err != nil {
			t.Errorf("stopping: %v\n%s", err, c.out)
		}
		again := root.start(t, spec)
		again.until("kept", password, "redis-cli", "get", "k")
	})

	t.Run("configuration file has the last word on protection", func(t *testing.T) {
		conf := volume(t, 0, 0, 0o755)
		writeScript(t, conf, "redis.conf", "maxmemory 50mb\nprotected-mode yes", 0o644)
		c := root.start(t, containerSpec{uid: 999, gid: 999, mounts: map[string]string{"/conf": conf}, args: []string{"/conf/redis.conf"}})
		c.until("maxmemory\n52428800", nil, "redis-cli", "config", "get", "maxmemory")
		c.until("protected-mode\nyes", nil, "redis-cli", "config", "get", "protected-mode")
	})

	t.Run("root becomes redis", func(t *testing.T) {
		c := root.start(t, containerSpec{mounts: map[string]string{"/data": volume(t, 0, 0, 0o755)}})
		c.until("PONG", nil, "redis-cli", "ping")
		c.until("999", nil, "stat", "-c", "%u", "/proc/1")
	})

	t.Run("version", func(t *testing.T) {
		c := root.start(t, containerSpec{uid: 999, gid: 999, args: []string{"redis-server", "--version"}})
		if err := c.wait(); err != nil || !strings.Contains(c.out.String(), "v=7.") {
			t.Errorf("%v: %s", err, c.out)
		}
	})
}
