package kustomization

import (
	"time"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/apply"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// memo is what this process knows of the last passes over a Kustomization, beside what its status says. No object is kept.
type memo struct {
	inputs inputs // what it was built with beside the artifact; without values
	built  built  // the newest build that was applied
	pruned bool   // after that build

	request string        // the desired state that is waited for
	since   time.Time     // when it was applied, or when it was no longer healthy; zero while it is healthy
	failed  time.Duration // how long after that its health check failed
	// unsaved is an inventory that is not in the status yet.
	unsaved apply.Inventory
}

// built is a build: what it was made of, and what it looked at.
type built struct {
	digest   string // of the artifact
	revision string
	dir      string // of the artifact's tree
	inputs   string // the hash of the inputs
	reads    *kustomize.Reads
	checksum string // of the objects
	// jobs are the Jobs that the cluster removes when they are done.
	jobs map[apply.ObjectID]bool
}

// same says whether a build of the artifact with these inputs would have the same result, and moves b to it.
func (b *built) same(digest, dir, inputs string) bool {
	if b.reads == nil || b.inputs != inputs {
		return false
	}
	return b.digest == digest || b.reads.SameIn(dir)
}

func (c *Controller) remember(obj *ksv1.Kustomization, change func(*memo)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := client.ObjectKeyFromObject(obj)
	m := c.memos[key]
	change(&m)
	c.memos[key] = m
}

func (c *Controller) remembered(obj *ksv1.Kustomization) memo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memos[client.ObjectKeyFromObject(obj)]
}

func (c *Controller) forget(obj *ksv1.Kustomization) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.memos, client.ObjectKeyFromObject(obj))
}
