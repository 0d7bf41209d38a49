// Package settings reads the settings of the service from the environment and checks all of them before anything starts.
package settings

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getsentry/sentry-go"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// DefaultPort is the TCP port the service listens on when PORT is not set.
const DefaultPort = 5000

// Settings are the checked settings. The three addresses hold credentials: never print them.
type Settings struct {
	SentryDSN   string
	RedisURI    string
	PostgresURI string
	Port        int
}

// Load reads the settings through getenv. Its error names every setting that is missing or malformed, with the form that
// is wanted and without any value; the Settings that come with it hold what was valid.
func Load(getenv func(string) string) (Settings, error) {
	var s Settings
	var problems []error
	address := func(name, want string, check func(string) error) string {
		value := strings.TrimSpace(getenv(name))
		if value == "" {
			problems = append(problems, fmt.Errorf("%s is not set: set it to %s", name, want))
			return ""
		}
		if err := check(value); err != nil {
			problems = append(problems, fmt.Errorf("%s is malformed: %w; it looks like %s", name, err, want))
			return ""
		}
		return value
	}
	s.SentryDSN = address("SENTRY_DSN", "https://KEY@HOST/PROJECT", checkSentry)
	s.RedisURI = address("REDIS_URI", "redis://:PASSWORD@HOST:6379/", checkRedis)
	s.PostgresURI = address("POSTGRES_URI", "postgres://USER:PASSWORD@HOST:5432/DATABASE", checkPostgres)

	port, err := parsePort(strings.TrimSpace(getenv("PORT")))
	if err != nil {
		problems = append(problems, err)
	}
	s.Port = port
	if len(problems) > 0 {
		return s, joined(problems)
	}
	return s, nil
}

// Secrets lists every string in s that must not be shown, as written and as decoded.
func (s Settings) Secrets() []string {
	secrets := []string{s.SentryDSN, s.RedisURI, s.PostgresURI}
	for _, raw := range []string{s.RedisURI, s.PostgresURI} {
		secrets = append(secrets, rawPassword(raw))
		if u, err := url.Parse(raw); err == nil && u.User != nil {
			password, _ := u.User.Password()
			secrets = append(secrets, password)
		}
	}
	if dsn, err := sentry.NewDsn(s.SentryDSN); err == nil {
		secrets = append(secrets, dsn.GetPublicKey(), dsn.GetSecretKey())
	}
	return secrets
}

func parsePort(value string) (int, error) {
	if value == "" {
		return DefaultPort, nil
	}
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("PORT is malformed: set it to a number from 1 to 65535, or leave it out for %d", DefaultPort)
	}
	return int(port), nil
}

// The parsers' own errors may quote the value, password included, so none of the checks passes them on.

func checkSentry(value string) error {
	if _, err := sentry.NewDsn(value); err != nil {
		return errors.New("it is not a Sentry DSN")
	}
	return nil
}

func checkRedis(value string) error {
	if err := checkAddress(value, "redis", "rediss"); err != nil {
		return err
	}
	if _, err := redis.ParseURL(value); err != nil {
		return errors.New("it cannot be read as a Redis address (special characters of the password must be percent-encoded)")
	}
	return nil
}

func checkPostgres(value string) error {
	if err := checkAddress(value, "postgres", "postgresql"); err != nil {
		return err
	}
	if _, err := pgxpool.ParseConfig(value); err != nil {
		return errors.New("it cannot be read as a PostgreSQL address (special characters of the password must be percent-encoded)")
	}
	return nil
}

// checkAddress wants one of the schemes and a host: the parsers would silently fall back to a local server.
func checkAddress(value string, schemes ...string) error {
	scheme, rest, found := strings.Cut(value, "://")
	if !found || !slices.Contains(schemes, scheme) {
		return fmt.Errorf("it does not start with %s://", schemes[0])
	}
	authority, _, _ := strings.Cut(rest, "/")
	host := authority[strings.LastIndex(authority, "@")+1:]
	if host == "" || strings.HasPrefix(host, ":") {
		return errors.New("it names no host")
	}
	return nil
}

func rawPassword(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return ""
	}
	_, password, _ := strings.Cut(rest[:at], ":")
	return password
}

func joined(problems []error) error {
	texts := make([]string, len(problems))
	for i, problem := range problems {
		texts[i] = problem.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
