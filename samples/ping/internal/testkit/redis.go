package testkit

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// RedisPassword is the password of the test servers. It needs percent-encoding in an address.
const RedisPassword = "rd:s3cret/pass"

// Redis is a running Redis server that keeps nothing when it stops.
type Redis struct {
	*process
	// URI is the address of the server.
	URI string
	// Client is connected to it.
	Client *redis.Client
}

// StartRedis starts a server for one test.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	server := binary(t, "redis-server", "redis-server", "/usr/bin/redis-server")
	dir := t.TempDir()
	var (
		address string
		client  *redis.Client
	)
	p := launch(t, func(port int) *process {
		host := "127.0.0.1:" + strconv.Itoa(port)
		address = (&url.URL{Scheme: "redis", User: url.UserPassword("", RedisPassword), Host: host, Path: "/"}).String()
		client = redis.NewClient(&redis.Options{Addr: host, Password: RedisPassword, DialerRetries: 1, MaxRetries: -1})
		config := filepath.Join(dir, "redis.conf")
		text := fmt.Sprintf("bind 127.0.0.1\nport %d\nrequirepass %s\nsave \"\"\nappendonly no\ndir %s\n", port, RedisPassword, dir)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatalf("writing the configuration of Redis: %v", err)
		}
		return &process{
			t: t, name: "redis-server", path: server, args: []string{config}, dir: dir, log: filepath.Join(dir, "log"),
			end:   syscall.SIGKILL,
			ready: func() error { return client.Ping(context.Background()).Err() },
		}
	})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("closing the test's connection to Redis: %v", err)
		}
	})
	return &Redis{process: p, URI: address, Client: client}
}
