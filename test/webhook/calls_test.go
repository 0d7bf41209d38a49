package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// scale is how much a run does.
type scale struct {
	packs, running, calls, callers, kills, humans int
	patience                                      time.Duration
}

func scaleOf() scale {
	if full {
		return scale{packs: 200, running: 4, calls: 20_000, callers: 200, kills: 20, humans: 1000, patience: 40 * time.Minute}
	}
	return scale{packs: 20, running: 1, calls: 400, callers: 40, kills: 2, humans: 30, patience: 7 * time.Minute}
}

// order is a call, which may be made several times under one key.
type order struct {
	pack     *deployed
	tag, key string
}

// receipt is what the server answered to an order.
type receipt struct {
	Changed bool
	Commit  string
}

// crowd makes all calls and keeps the answers.
type crowd struct {
	place  *place
	client *http.Client

	mu       sync.Mutex
	receipts map[order]receipt
	done     atomic.Int64
	retries  atomic.Int64
	limited  atomic.Int64
}

// TestManyCalls makes thousands of calls for the Packs of one repository, in random order and some of them twice, while
// people commit to it and the operator is killed: each call is in Git exactly once, no commit of a human is lost, and the
// cluster becomes what Git says.
func TestManyCalls(t *testing.T) {
	s := scaleOf()
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	t.Logf("seed %d, %+v", seed, s)
	p := newPlace(t, "many", s.packs, s.running)
	floor := rawPushes(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), s.patience)
	defer cancel()
	c := &crowd{place: p, receipts: map[order]receipt{}, client: &http.Client{
		Timeout: 90 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: s.callers, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
	}}
	orders := ordersOf(p, s, random)
	started := time.Now()
	disturbed, stop := context.WithCancel(ctx)
	var disturbers sync.WaitGroup
	humans := &people{repo: clone(t, p.url)}
	disturbers.Go(func() { humans.work(disturbed, t, s.humans, p) })
	killed := 0
	disturbers.Go(func() { killed = killAtRandom(disturbed, t, c, len(orders), s.kills, random) })
	c.callAll(ctx, t, orders, s.callers)
	took := time.Since(started)
	stop()
	disturbers.Wait()
	if t.Failed() {
		t.Fatalf("the end of the log:\n%s", world.Operator.Tail(20))
	}
	if !world.Operator.Running() {
		check(t, world.Begin(ctx))
	}
	t.Logf("%d calls (%d of them repeats) in %s: %.0f calls/s over %d kills and %d human commits; %d attempts were repeated, %d answered 429; raw git pushes one after the other: %.1f/s",
		len(orders), len(orders)-s.calls, took.Round(time.Millisecond), float64(len(orders))/took.Seconds(), killed, humans.made(), c.retries.Load(), c.limited.Load(), floor)
	c.checkHistory(t, s.calls)
	humans.check(t, p)
	c.checkCluster(t)
}

// ordersOf are the calls in random order: a tenth of them comes twice.
func ordersOf(p *place, s scale, random *rand.Rand) []order {
	var all []order
	for i := range s.calls {
		o := order{&p.packs[i%len(p.packs)], fmt.Sprintf("t%d", i), fmt.Sprintf("job-%d", i)}
		all = append(all, o)
		if random.IntN(10) == 0 {
			all = append(all, o)
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (c *crowd) callAll(ctx context.Context, t *testing.T, orders []order, callers int) {
	queue := make(chan order)
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for o := range queue {
				got, err := c.call(ctx, o)
				if err != nil {
					t.Errorf("%s %s: %v", o.pack.name, o.tag, err)
					return
				}
				c.done.Add(1)
				c.mu.Lock()
				if earlier, ok := c.receipts[o]; ok && earlier != got {
					t.Errorf("%s %s was answered with %v, and later with %v", o.pack.name, o.tag, earlier, got)
				}
				c.receipts[o] = got
				c.mu.Unlock()
			}
		})
	}
	for _, o := range orders {
		select {
		case queue <- o:
		case <-ctx.Done():
			t.Errorf("not all calls were answered within the time: %d of %d", c.done.Load(), len(orders))
			close(queue)
			all.Wait()
			return
		}
		if t.Failed() {
			break
		}
	}
	close(queue)
	all.Wait()
}

// call makes a call until it is answered, as a pipeline with retries does.
func (c *crowd) call(ctx context.Context, o order) (receipt, error) {
	for {
		got, err := c.try(ctx, o)
		if err == nil || ctx.Err() != nil {
			return got, errors.Join(err, ctx.Err())
		}
		if refused, ok := errors.AsType[refusedCall](err); ok && refused.code < 500 && refused.code != http.StatusTooManyRequests {
			return got, err
		}
		c.retries.Add(1)
		time.Sleep(100*time.Millisecond + rand.N(200*time.Millisecond)) //nolint:gosec // jitter
	}
}

type refusedCall struct {
	code int
	body string
}

func (r refusedCall) Error() string { return fmt.Sprintf("%d %s", r.code, r.body) }

func (c *crowd) try(ctx context.Context, o order) (receipt, error) {
	var got receipt
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+world.Operator.HTTP+o.pack.path, strings.NewReader("DOCKER_TAG="+o.tag))
	if err != nil {
		return got, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "Bearer "+o.pack.token)
	request.Header.Set("Idempotency-Key", o.key)
	answer, err := c.client.Do(request)
	if err != nil {
		return got, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return got, err
	}
	if answer.StatusCode == http.StatusTooManyRequests {
		c.limited.Add(1)
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		time.Sleep(time.Duration(seconds) * time.Second)
	}
	if answer.StatusCode != http.StatusOK {
		return got, refusedCall{answer.StatusCode, string(body)}
	}
	return got, json.Unmarshal(body, &got)
}

// killAtRandom kills the operator so many times while the calls are made, and starts it again.
func killAtRandom(ctx context.Context, t *testing.T, c *crowd, orders, kills int, random *rand.Rand) (killed int) {
	for i := range kills {
		// Somewhere in its part of the calls, and a random moment later.
		from := int64((float64(i) + 0.2 + 0.6*random.Float64()) * float64(orders) / float64(kills))
		for c.done.Load() < from {
			if !pause(ctx, 5*time.Millisecond) {
				return killed
			}
		}
		if !pause(ctx, time.Duration(random.IntN(300))*time.Millisecond) {
			return killed
		}
		world.Operator.Kill()
		killed++
		if err := world.Begin(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
			return killed
		}
	}
	return killed
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// checkHistory looks for every call in Git.
func (c *crowd) checkHistory(t *testing.T, calls int) {
	t.Helper()
	subjects := map[string][]string{}
	for line := range strings.Lines(c.place.repo.Git("log", "--format=%H %s", "main")) {
		hash, subject, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(subject, "Deploy ") {
			subjects[subject] = append(subjects[subject], hash)
		}
	}
	if len(c.receipts) != calls || len(subjects) != calls {
		t.Errorf("%d calls were answered and %d are in Git, of %d", len(c.receipts), len(subjects), calls)
	}
	for o, got := range c.receipts {
		hashes := subjects[fmt.Sprintf("Deploy %s/%s: DOCKER_TAG=%s", c.place.namespace, o.pack.name, o.tag)]
		if len(hashes) != 1 || hashes[0] != got.Commit || !got.Changed {
			t.Errorf("%s %s: answered with %+v, in Git as %v", o.pack.name, o.tag, got, hashes)
		}
	}
}

// checkCluster waits until every Pack has the tag that its file has.
func (c *crowd) checkCluster(t *testing.T) {
	t.Helper()
	want := map[string]string{}
	for _, d := range c.place.packs {
		want[d.name] = c.place.tagIn(t, d.file)
	}
	started := time.Now()
	eventually(t, 3*time.Minute, func() error {
		var all packv1.PackList
		if err := world.Client.List(t.Context(), &all, client.InNamespace(c.place.namespace)); err != nil {
			return err
		}
		behind := 0
		for i := range all.Items {
			if got := strings.Trim(string(all.Items[i].Spec.Vars["DOCKER_TAG"].Raw), `"`); got != want[all.Items[i].Name] {
				behind++
			}
		}
		if behind > 0 || len(all.Items) != len(want) {
			return fmt.Errorf("%d of %d Packs are not what Git says", behind, len(all.Items))
		}
		return nil
	})
	t.Logf("the cluster was equal to Git %s after the last answer was looked at", time.Since(started).Round(time.Millisecond))
}
