package packsync

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/git"
)

// WebhookPrefix is what the paths of webhooks begin with.
const WebhookPrefix = "/api/core/git-webhook/"

const defaultValidity = 720 * time.Hour

// webhook gives the PackSync an address that nobody can guess, and a new one before the old one ends. The old one works
// until then, so that there is time to tell the Git server.
func (p *pass) webhook() error {
	validity := defaultValidity
	if w := p.obj.Spec.Webhook; w != nil && w.Validity != nil && w.Validity.Duration > 0 {
		validity = w.Validity.Duration
	}
	now := p.clock.Now()
	s := &p.obj.Status
	if asked := p.obj.Annotations[peykv1.ExtendWebhookAnnotation]; asked != s.LastWebhookExtension {
		s.LastWebhookExtension = asked
		if asked != "" && s.Webhook != nil && now.Before(s.Webhook.Expires.Time) {
			s.Webhook.Expires = metav1.NewTime(now.Add(validity))
		}
	}
	if s.PreviousWebhook != nil && now.After(s.PreviousWebhook.Expires.Time) {
		s.PreviousWebhook = nil
	}
	if s.Webhook != nil && now.Before(s.Webhook.Expires.Add(-validity/10)) {
		return nil
	}
	var id [32]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("making a webhook's address: %w", err)
	}
	if s.Webhook != nil && now.Before(s.Webhook.Expires.Time) {
		s.PreviousWebhook = s.Webhook
	}
	s.Webhook = &peykv1.WebhookAddress{Path: WebhookPrefix + hex.EncodeToString(id[:]) + "/", Expires: metav1.NewTime(now.Add(validity))}
	return nil
}

// shownCommits is how many commits the status shows, knownCommits how many the log fetches.
const (
	shownCommits = 20
	knownCommits = 50
)

// log reads the last commits of the branch into the status.
func (p *pass) log(ctx context.Context) error {
	s := &p.obj.Status
	head := p.memory.branch.Head()
	if head == "" || len(s.Commits) > 0 && s.Commits[0].Commit == head {
		return nil
	}
	c, err := p.Mirrors.Connect(ctx, p.target.Remote)
	if err != nil {
		return failed(err)
	}
	defer c.Close()
	var commits []peykv1.SyncCommit
	err = c.Log(ctx, p.memory.branch.Name(), git.LogRange{N: knownCommits}, func(e git.LogEntry) bool {
		commit := peykv1.SyncCommit{Commit: e.Hash, Title: e.Subject(), Author: e.Author.Name, Time: metav1.NewTime(e.When)}
		if n, err := e.Files(); err == nil && n >= 0 {
			commit.Files = &n
		}
		commits = append(commits, commit)
		return len(commits) < shownCommits
	})
	if err != nil {
		return failed(err)
	}
	s.Commits = commits
	return nil
}
