package gitserver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// queueLength bounds the pushes that wait for one receiver; more of them mean that nobody listens.
	queueLength = 256
	// deliveryTimeout bounds one attempt.
	deliveryTimeout = 10 * time.Second
)

// retryDelays are the pauses between attempts; after the last one the webhook is given up, as the next push brings another.
func retryDelays() []time.Duration {
	return []time.Duration{500 * time.Millisecond, 2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second}
}

// delivery is one payload for one receiver.
type delivery struct {
	hook hook
	ref  string
	body []byte
	id   string
}

// deliverer sends webhooks: in order for each receiver, and without one receiver waiting for another.
type deliverer struct {
	client *http.Client
	log    *slog.Logger
	delays []time.Duration
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	queues map[string]chan delivery
	last   map[string]Delivered
}

// Delivered is the outcome of the last attempt to deliver a webhook.
type Delivered struct {
	Time   time.Time `json:"time"`
	Ref    string    `json:"ref"`
	Status int       `json:"status,omitempty"` // HTTP status, 0 when there was no answer
	Error  string    `json:"error,omitempty"`
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func newDeliverer(dial dialFunc, log *slog.Logger) *deliverer {
	if dial == nil {
		dial = dialLocalhost
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &deliverer{
		client: &http.Client{
			Timeout:   deliveryTimeout,
			Transport: &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2},
			// A redirect would carry the secret to somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log: log, delays: retryDelays(), ctx: ctx, cancel: cancel,
		queues: map[string]chan delivery{}, last: map[string]Delivered{},
	}
}

// dialLocalhost treats every name below .localhost as this machine (RFC 6761, section 6.3), which not every resolver does.
func dialLocalhost(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && strings.HasSuffix(strings.ToLower(strings.TrimSuffix(host, ".")), ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return (&net.Dialer{Timeout: deliveryTimeout}).DialContext(ctx, network, addr)
}

// close ends deliveries and waits for their goroutines.
func (d *deliverer) close() {
	d.cancel()
	d.wg.Wait()
	d.client.CloseIdleConnections()
}

// enqueue hands a payload to the receiver's own goroutine, starting it at the first one.
func (d *deliverer) enqueue(h hook, ref string, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return
	}
	queue, running := d.queues[h.ID]
	if !running {
		queue = make(chan delivery, queueLength)
		d.queues[h.ID] = queue
		d.wg.Go(func() { d.work(queue) })
	}
	select {
	case queue <- delivery{hook: h, ref: ref, body: body, id: rand.Text()}:
	default:
		d.log.Warn("webhook dropped because too many wait for its receiver", "url", withoutQuery(h.URL), "ref", ref)
	}
}

func (d *deliverer) work(queue <-chan delivery) {
	for {
		select {
		case <-d.ctx.Done():
			return
		case next := <-queue:
			d.deliver(next)
		}
	}
}

// deliver tries until the receiver takes the payload, refuses it for good, or the patience ends.
func (d *deliverer) deliver(next delivery) {
	for attempt := 0; ; attempt++ {
		status, err := d.post(next)
		outcome := Delivered{Time: time.Now().UTC(), Ref: next.ref, Status: status}
		if err == nil && status >= 300 {
			err = fmt.Errorf("the receiver answered with status %d", status)
		}
		if err != nil {
			outcome.Error = err.Error()
		}
		d.mu.Lock()
		d.last[next.hook.ID] = outcome
		d.mu.Unlock()

		log := d.log.With("url", withoutQuery(next.hook.URL), "ref", next.ref, "attempt", attempt+1)
		switch {
		case err == nil:
			log.Debug("webhook delivered", "status", status)
			return
		case !worthRetrying(status) || attempt == len(d.delays):
			log.Warn("webhook given up", "err", err)
			return
		}
		log.Debug("webhook attempt failed", "err", err)
		select {
		case <-d.ctx.Done():
			return
		case <-time.After(d.delays[attempt]):
		}
	}
}

// worthRetrying counts "not found" in, because a router in front of a receiver that is just starting answers so.
func worthRetrying(status int) bool {
	return status == 0 || status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusNotFound
}

func (d *deliverer) post(next delivery) (status int, err error) {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, next.hook.URL, bytes.NewReader(next.body))
	if err != nil {
		return 0, errors.New("the webhook's URL is malformed")
	}
	sign(req.Header, next)
	resp, err := d.client.Do(req)
	if err != nil {
		// The error's text repeats the URL, and its query may be a secret.
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // for the connection's reuse
	return resp.StatusCode, nil
}

// sign sets the headers of GitHub, Gitea and GitLab together, so that a receiver of any of the three recognises the event.
func sign(header http.Header, next delivery) {
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "peyk-local-git")
	header.Set("X-GitHub-Event", "push")
	header.Set("X-GitHub-Delivery", next.id)
	header.Set("X-Gitea-Event", "push")
	header.Set("X-Gitea-Delivery", next.id)
	header.Set("X-Gitlab-Event", "Push Hook")
	header.Set("X-Gitlab-Event-UUID", next.id)
	if strings.HasPrefix(next.ref, "refs/tags/") {
		header.Set("X-Gitlab-Event", "Tag Push Hook")
	}
	if next.hook.Secret == "" {
		return
	}
	mac := hmac.New(sha256.New, []byte(next.hook.Secret))
	mac.Write(next.body)
	sum := hex.EncodeToString(mac.Sum(nil))
	header.Set("X-Hub-Signature-256", "sha256="+sum)
	header.Set("X-Gitea-Signature", sum)
	header.Set("X-Gitlab-Token", next.hook.Secret)
}

func (d *deliverer) outcome(id string) (Delivered, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	got, ok := d.last[id]
	return got, ok
}

func withoutQuery(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		return "(malformed)"
	}
	parsed.RawQuery, parsed.User = "", nil
	return parsed.String()
}
