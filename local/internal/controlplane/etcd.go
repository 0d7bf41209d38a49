package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// The addresses of etcd are relative to the working directory: the path of a Unix socket may not be longer than 107 bytes, and state
// directories may.
const (
	etcdClientURL = "unix://etcd.sock:1"
	etcdPeerURL   = "unix://etcd-peer.sock:1"
)

// startEtcd serves etcd on a Unix socket in the working directory and returns once it can be used.
//
// Writes are not synced to the disk: the data outlives any killed process, but not a power cut.
func startEtcd(ctx context.Context) (*embed.Etcd, error) {
	client, err := url.Parse(etcdClientURL)
	if err != nil {
		return nil, fmt.Errorf("parsing the address of etcd: %w", err)
	}
	peer, err := url.Parse(etcdPeerURL)
	if err != nil {
		return nil, fmt.Errorf("parsing the peer address of etcd: %w", err)
	}
	c := embed.NewConfig()
	c.Name = "local"
	c.Dir = "etcd"
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.LogLevel = "warn"
	c.UnsafeNoFsync = true
	// Zero would have every request reported as slow.
	c.WarningUnaryRequestDuration = time.Second
	// Half of the default: one member answers itself at once, and a first start waits for an election.
	c.TickMs, c.ElectionMs = 50, 500
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("starting etcd: %w", err)
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case err := <-e.Err():
		return nil, fmt.Errorf("starting etcd: %w", err)
	case <-ctx.Done():
		e.Close()
		return nil, ctx.Err()
	case <-time.After(time.Minute):
		e.Close()
		return nil, errors.New("starting etcd: it is not ready after a minute")
	}
}
