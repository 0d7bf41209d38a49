package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	goodSentry   = "https://0123456789abcdef@sentry.example.com/7"
	goodRedis    = "redis://:r3dis-pw@redis.base:6379/"
	goodPostgres = "postgres://user:p0stgres-pw@postgres.base:5432/user"
)

func env(overrides map[string]string) func(string) string {
	values := map[string]string{"SENTRY_DSN": goodSentry, "REDIS_URI": goodRedis, "POSTGRES_URI": goodPostgres}
	for name, value := range overrides {
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

func TestLoadAccepts(t *testing.T) {
	want := Settings{SentryDSN: goodSentry, RedisURI: goodRedis, PostgresURI: goodPostgres, Port: 5000}
	cases := map[string]struct {
		env    map[string]string
		change func(*Settings)
	}{
		"defaults":               {nil, func(*Settings) {}},
		"another port":           {map[string]string{"PORT": "8080"}, func(s *Settings) { s.Port = 8080 }},
		"a line end in a secret": {map[string]string{"REDIS_URI": goodRedis + "\n"}, func(*Settings) {}},
		"redis over tls": {map[string]string{"REDIS_URI": "rediss://:pw@r:6380/2"},
			func(s *Settings) { s.RedisURI = "rediss://:pw@r:6380/2" }},
		"postgres with parameters": {map[string]string{"POSTGRES_URI": "postgresql://u:p%40ss@db/app?sslmode=require&pool_max_conns=7"},
			func(s *Settings) { s.PostgresURI = "postgresql://u:p%40ss@db/app?sslmode=require&pool_max_conns=7" }},
		"two database hosts": {map[string]string{"POSTGRES_URI": "postgres://u:p@a:5432,b:5432/app"},
			func(s *Settings) { s.PostgresURI = "postgres://u:p@a:5432,b:5432/app" }},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Load(env(c.env))
			if err != nil {
				t.Fatal(err)
			}
			want := want
			c.change(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	cases := map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing set": {map[string]string{"SENTRY_DSN": "", "REDIS_URI": " ", "POSTGRES_URI": ""},
			[]string{"SENTRY_DSN is not set: set it to https://KEY@HOST/PROJECT", "REDIS_URI is not set: set it to redis://",
				"POSTGRES_URI is not set: set it to postgres://"}},
		"one missing, one malformed": {map[string]string{"SENTRY_DSN": "", "REDIS_URI": "s3cretvalue"},
			[]string{"SENTRY_DSN is not set", "REDIS_URI is malformed: it does not start with redis://"}},
		"sentry without a key":     {map[string]string{"SENTRY_DSN": "https://sentry.example.com/s3cretvalue"}, []string{"SENTRY_DSN is malformed"}},
		"sentry without a project": {map[string]string{"SENTRY_DSN": "https://s3cretvalue@sentry.example.com"}, []string{"SENTRY_DSN is malformed"}},
		"redis port":               {map[string]string{"REDIS_URI": "redis://:s3cretvalue@h:no/"}, []string{"REDIS_URI is malformed"}},
		"redis database":           {map[string]string{"REDIS_URI": "redis://:s3cretvalue@h:1/x"}, []string{"REDIS_URI is malformed"}},
		"redis bad escape":         {map[string]string{"REDIS_URI": "redis://:s3cretvalue%zz@h:1/"}, []string{"percent-encoded"}},
		"redis without a host":     {map[string]string{"REDIS_URI": "redis://:s3cretvalue@/"}, []string{"REDIS_URI is malformed: it names no host"}},
		"redis only a port":        {map[string]string{"REDIS_URI": "redis://:6379/"}, []string{"names no host"}},
		"postgres other scheme":    {map[string]string{"POSTGRES_URI": "mysql://u:s3cretvalue@h/d"}, []string{"POSTGRES_URI is malformed: it does not start with postgres://"}},
		"postgres keywords":        {map[string]string{"POSTGRES_URI": "host=h password=s3cretvalue"}, []string{"POSTGRES_URI is malformed"}},
		"postgres port":            {map[string]string{"POSTGRES_URI": "postgres://u:s3cretvalue@h:99999999/d"}, []string{"POSTGRES_URI is malformed"}},
		"postgres bad escape":      {map[string]string{"POSTGRES_URI": "postgres://u:s3cretvalue%zz@h/d"}, []string{"percent-encoded"}},
		"postgres without a host":  {map[string]string{"POSTGRES_URI": "postgres://u:s3cretvalue@/d"}, []string{"names no host"}},
		"port word":                {map[string]string{"PORT": "http"}, []string{"PORT is malformed: set it to a number from 1 to 65535"}},
		"port zero":                {map[string]string{"PORT": "0"}, []string{"PORT is malformed"}},
		"port too high":            {map[string]string{"PORT": "65536"}, []string{"PORT is malformed"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Load(env(c.env))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "s3cretvalue") {
				t.Errorf("%q shows the value", err)
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	s, err := Load(env(map[string]string{"POSTGRES_URI": "postgres://user:p%40ss@h/d"}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{goodSentry, goodRedis, "postgres://user:p%40ss@h/d", "r3dis-pw", "r3dis-pw", "p%40ss", "p@ss", "0123456789abcdef", ""}
	if diff := cmp.Diff(want, s.Secrets()); diff != "" {
		t.Error(diff)
	}
}
