package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The variables that pipelines have, as 'peyk pack token' prints them.
const (
	urlVariable   = "KUBIT_WEBHOOK_URL"
	tokenVariable = "KUBIT_WEBHOOK_TOKEN" //nolint:gosec // a name
)

// deployment is one call of a deploy webhook.
type deployment struct {
	url, token, key string
	vars            map[string]string
	wait, dryRun    bool
	timeout         time.Duration
	out             io.Writer
	say             *printer
	// pause waits before another attempt.
	pause func(context.Context, time.Duration) error
}

func (a *App) newPackDeploy() *cobra.Command {
	d := deployment{timeout: 10 * time.Minute, pause: sleep}
	var tokenFile string
	var vars []string
	cmd := &cobra.Command{
		Use:   "deploy --var DOCKER_TAG=TAG",
		Short: "Call the deploy webhook of a Pack, and wait for the rollout",
		Long: `Call the deploy webhook of a Pack, as a pipeline does: no access to the cluster is needed. Where the connection is lost
the call is repeated, and takes effect once. With --wait the exit code says how the rollout ended: 0 when it is ready, 1
when the call was refused, the rollout failed or did not become ready in time, 3 when nobody answers.`,
		Example: `  # with $KUBIT_WEBHOOK_URL and $KUBIT_WEBHOOK_TOKEN set
  peyk pack deploy --var DOCKER_TAG=$CI_COMMIT_SHORT_SHA --wait

  peyk pack deploy --url https://peyk.example.org/api/core/packs/p3xk5n2m/vars/ --token-file token --var DOCKER_TAG=3bafc239`,
		Args: wants(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.complete(tokenFile, vars); err != nil {
				return err
			}
			d.out, d.say = cmd.OutOrStdout(), newPrinter(cmd.ErrOrStderr(), a.plain)
			return d.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.url, "url", "", "address of the webhook (default: $"+urlVariable+")")
	flags.StringVar(&tokenFile, "token-file", "", "file that holds the token, - for the standard input (default: $"+tokenVariable+")")
	flags.StringArrayVar(&vars, "var", nil, "NAME=VALUE; may be given several times")
	flags.StringVar(&d.key, "idempotency-key", "", "what makes two calls the same one (default: a new one)")
	flags.BoolVar(&d.wait, "wait", false, "wait until the Pack is ready, and tell of the rollout")
	flags.BoolVar(&d.dryRun, "dry-run", false, "say what would change, and change nothing")
	flags.DurationVar(&d.timeout, "wait-timeout", d.timeout, "how long to wait")
	return cmd
}

// complete reads what the flags refer to.
func (d *deployment) complete(tokenFile string, vars []string) error {
	if d.url == "" {
		d.url = os.Getenv(urlVariable)
	}
	if address, err := url.Parse(d.url); err != nil || address.Host == "" {
		return usagef("--url %q: give the address that 'peyk pack token' prints, or set %s", d.url, urlVariable)
	}
	var err error
	if d.token, err = readToken(tokenFile); err != nil {
		return err
	}
	d.vars = map[string]string{}
	for _, text := range vars {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return usagef("--var %q: must be NAME=VALUE", text)
		}
		d.vars[name] = value
	}
	if len(d.vars) == 0 {
		return usagef("--var: give at least one, such as --var DOCKER_TAG=3bafc239")
	}
	if d.key == "" {
		d.key = rand.Text()
	}
	return nil
}

func readToken(file string) (string, error) {
	token := os.Getenv(tokenVariable)
	if file != "" {
		var data []byte
		var err error
		if file == "-" {
			data, err = io.ReadAll(io.LimitReader(os.Stdin, 1<<10))
		} else {
			data, err = os.ReadFile(file) //nolint:gosec // the user names it
		}
		if err != nil {
			return "", usagef("--token-file: %w", err)
		}
		token = string(data)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", usagef("there is no token: use --token-file, or set %s", tokenVariable)
	}
	return token, nil
}

// againError is a failure that another attempt may mend.
type againError struct {
	error
	after time.Duration
}

func (e againError) Unwrap() error { return e.error }

// tries is how often a call is made when nobody answers.
const tries = 6

// run makes the call, again where it may help: the key keeps it from taking effect twice.
func (d *deployment) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout+time.Minute)
	defer cancel()
	var err error
	for try := range tries {
		err = d.call(ctx)
		again, ok := errors.AsType[againError](err)
		if !ok {
			return err
		}
		err = again.error
		if try == tries-1 {
			break
		}
		wait := max(again.after, time.Second<<try)
		d.say.Waiting("%v; trying again in %s", err, wait)
		if d.pause(ctx, wait) != nil {
			break
		}
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// webhooks reaches names below localhost on this machine, as browsers and curl do (RFC 6761, section 6.3).
var webhooks = &http.Client{Transport: localTransport()}

func localTransport() http.RoundTripper {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // that is what it is
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("localhost", port)
		}
		return dial(ctx, network, address)
	}
	return transport
}

func (d *deployment) call(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"variables": d.vars})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.address(), bytes.NewReader(body))
	if err != nil {
		return usagef("--url: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+d.token)
	request.Header.Set("Idempotency-Key", d.key)
	answer, err := webhooks.Do(request)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return againError{unreachableError{fmt.Errorf("calling the webhook: %w", err)}, 0}
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return refusedCall(answer)
	}
	if d.wait && !d.dryRun {
		return d.follow(answer.Body)
	}
	_, err = io.Copy(d.out, answer.Body)
	return err
}

func (d *deployment) address() string {
	query := url.Values{}
	if d.dryRun {
		query.Set("dry-run", "true")
	} else if d.wait {
		query.Set("wait", "ready")
		query.Set("stream", "text")
		query.Set("timeout", d.timeout.String())
	}
	if len(query) == 0 {
		return d.url
	}
	return strings.TrimSuffix(d.url, "?") + "?" + query.Encode()
}

// refusedCall is what the webhook said instead of yes.
func refusedCall(answer *http.Response) error {
	var said struct{ Error, Mend string }
	_ = json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&said) // a proxy answers something else
	if said.Error == "" {
		said.Error = "the answer is " + answer.Status
	}
	err := fmt.Errorf("the webhook: %s", said.Error)
	if said.Mend != "" {
		err = fmt.Errorf("%w; %s", err, said.Mend)
	}
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError {
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return againError{err, time.Duration(seconds) * time.Second}
	}
	return err
}

// follow prints the lines of a rollout, and returns an error unless the last one says that it is ready.
func (d *deployment) follow(body io.Reader) error {
	lines := bufio.NewScanner(body)
	result, message := "", ""
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := fmt.Fprintln(d.out, line); err != nil {
			return err
		}
		name, text, _ := strings.Cut(line, ": ")
		switch name {
		case "result":
			result = text
		case "message":
			message = text
		}
	}
	switch {
	case result == "ready":
		return nil
	case result != "":
		return fmt.Errorf("the rollout ended as %s: %s", result, message)
	}
	// The connection was lost, or the operator restarted.
	return againError{unreachableError{errors.New("the connection was lost before the rollout ended")}, time.Second}
}
