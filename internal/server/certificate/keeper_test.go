package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const name = "peyk.tools.svc"

var key = types.NamespacedName{Namespace: "tools", Name: "peyk-api-tls"}

func newKeeper(c client.Client, now time.Time) (*Keeper, *clocktesting.FakePassiveClock) {
	clock := clocktesting.NewFakePassiveClock(now)
	return &Keeper{Client: c, Secret: key, Names: []string{name}, Clock: clock}, clock
}

// ensure returns the authorities that were published.
func ensure(t *testing.T, k *Keeper) []byte {
	t.Helper()
	var published []byte
	if err := k.Ensure(t.Context(), func(authorities []byte) error { published = authorities; return nil }); err != nil {
		t.Fatal(err)
	}
	return published
}

// dial says whether a client that trusts the authorities reaches a server of the keeper.
func dial(t *testing.T, k *Keeper, authorities []byte, now time.Time) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", k.TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authorities)
	conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name, Time: func() time.Time { return now }})
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestRenewal(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		after                  time.Duration
		serving, newAuthority  bool
		oldAuthorityStillKnown bool
	}{
		"at once":                         {time.Minute, false, false, false},
		"before the last third":           {59 * 24 * time.Hour, false, false, false},
		"in the last third":               {61 * 24 * time.Hour, true, false, false},
		"after the end":                   {200 * 24 * time.Hour, true, false, false},
		"in the authority's last third":   {7 * 365 * 24 * time.Hour, true, true, true},
		"after the end of the authority":  {11 * 365 * 24 * time.Hour, true, true, false},
		"the clock was set back too much": {-2 * time.Hour, true, true, true},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			store := fake.NewClientBuilder().Build()
			k, clock := newKeeper(store, start)
			first := ensure(t, k)
			before := k.current.Load().Leaf.SerialNumber
			now := start.Add(c.after)
			clock.SetTime(now)
			second := ensure(t, k)
			if renewed := k.current.Load().Leaf.SerialNumber.Cmp(before) != 0; renewed != c.serving {
				t.Errorf("renewed: %t, want %t", renewed, c.serving)
			}
			if changed := string(first) != string(second); changed != c.newAuthority {
				t.Errorf("authority changed: %t, want %t", changed, c.newAuthority)
			}
			if known := bytes.Count(second, []byte("BEGIN")) > bytes.Count(first, []byte("BEGIN")); known != c.oldAuthorityStillKnown {
				t.Errorf("the old authority is still trusted: %t, want %t", known, c.oldAuthorityStillKnown)
			}
			if err := dial(t, k, second, now); err != nil {
				t.Errorf("calling with what is trusted now: %v", err)
			}
			if err := dial(t, k, first, now); (err == nil) == c.newAuthority {
				t.Errorf("calling with what was trusted: %v", err)
			}
			var secret corev1.Secret
			if err := store.Get(t.Context(), key, &secret); err != nil || secret.Type != corev1.SecretTypeTLS {
				t.Errorf("secret of type %q, %v", secret.Type, err)
			}
		})
	}
}

// Replicas that start at the same moment end with the same certificate.
func TestReplicas(t *testing.T) {
	store := fake.NewClientBuilder().Build()
	now := time.Now()
	keepers := make([]*Keeper, 8)
	var wg sync.WaitGroup
	for i := range keepers {
		keepers[i], _ = newKeeper(store, now)
		wg.Go(func() { ensure(t, keepers[i]) })
	}
	wg.Wait()
	for _, k := range keepers[1:] {
		if diff := cmp.Diff(keepers[0].current.Load().Certificate, k.current.Load().Certificate); diff != "" {
			t.Fatalf("the replicas' certificates differ:\n%s", diff)
		}
	}
}

func TestDamageIsMended(t *testing.T) {
	cases := map[string]func(*corev1.Secret){
		"empty":            func(s *corev1.Secret) { s.Data = nil },
		"no authority":     func(s *corev1.Secret) { delete(s.Data, authorityPEM) },
		"no authority key": func(s *corev1.Secret) { s.Data[authorityKey] = []byte("x") },
		"no key":           func(s *corev1.Secret) { delete(s.Data, servingKey) },
		"somebody else's": func(s *corev1.Secret) {
			s.Data[servingCert], s.Data[servingKey] = s.Data[authorityPEM], s.Data[authorityKey]
		},
		"nonsense included": func(s *corev1.Secret) {
			s.Data[servingCert] = []byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
		},
	}
	for what, damage := range cases {
		t.Run(what, func(t *testing.T) {
			store, now := fake.NewClientBuilder().Build(), time.Now()
			k, _ := newKeeper(store, now)
			ensure(t, k)
			var secret corev1.Secret
			if err := store.Get(t.Context(), key, &secret); err != nil {
				t.Fatal(err)
			}
			damage(&secret)
			if err := store.Update(t.Context(), &secret); err != nil {
				t.Fatal(err)
			}
			if err := dial(t, k, ensure(t, k), now); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNothingIsWrittenWhenNothingIsDue(t *testing.T) {
	writes, reads := 0, 0
	store := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			reads++
			return c.Get(ctx, k, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			writes++
			return c.Create(ctx, o, opts...)
		},
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
			writes++
			return errors.New("not now")
		},
	}).Build()
	k, clock := newKeeper(store, time.Now())
	ensure(t, k)
	reads = 0
	ensure(t, k)
	if writes != 1 || reads != 1 {
		t.Errorf("%d writes and %d reads, want 1 and 1", writes, reads)
	}
	// A Secret that cannot be written leaves the old certificate in use.
	clock.SetTime(clock.Now().Add(70 * 24 * time.Hour))
	if err := k.Ensure(t.Context(), func([]byte) error { return nil }); err == nil || apierrors.IsNotFound(err) {
		t.Errorf("error %v, want that of the update", err)
	}
	if k.current.Load() == nil {
		t.Error("the certificate was dropped")
	}
}
