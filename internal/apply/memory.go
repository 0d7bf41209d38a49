package apply

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// memory is what a process writes down for the next one, so that a restart need not dry-run everything. It says that an
// identity applied this desired state and that it became that live state, which stays true: an old or lost memory costs
// requests and nothing else.
type memory struct {
	Format int
	// Admission is what the cluster's admission was like.
	Admission Hash
	Owners    map[Owner]past
}

// past is what an earlier process knew of an owner.
type past struct {
	User string
	// Rights are what those were like that count where the objects are.
	Rights  Hash
	Objects []pastObject
}

func (p *past) namespaces() map[string]bool {
	found := map[string]bool{}
	for i := range p.Objects {
		found[p.Objects[i].Entry.Namespace] = true
	}
	return found
}

func (p *past) isIn(namespaces map[string]bool) bool {
	return slices.ContainsFunc(p.Objects, func(o pastObject) bool { return namespaces[o.Entry.Namespace] })
}

// pastObject is what an object was applied as, and what it became. At what resource version is not written down: a cluster
// that was restored from a backup begins again with lower ones, and what it shows would count as old for ever.
type pastObject struct {
	Entry         Entry
	Desired, Live Hash
	Once, Foreign bool
}

// memoryFormat changes with everything that changes what a hash means.
const memoryFormat = 2

// flushEvery is how often changes are written down.
const flushEvery = 10 * time.Second

// Remember makes the engine write down in a file what it knows, and begin with what the file says. The file may be lost.
// Call it before Start.
func (e *Engine) Remember(path string) error {
	e.memoryFile = path
	f, err := os.Open(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening what was applied before: %w", err)
	}
	defer func() { _ = f.Close() }()
	var m memory
	if err := gob.NewDecoder(f).Decode(&m); err != nil || m.Format != memoryFormat {
		e.log.Info("what was applied before cannot be read, so everything is checked anew", "file", path)
		return nil
	}
	e.past = &m
	return nil
}

// recall drops of what was written down what has become doubtful since, as soon as that can be told.
func (e *Engine) recall(ctx context.Context) {
	const patience = 10 * time.Second
	e.mu.Lock()
	known := e.past == nil
	e.mu.Unlock()
	if known {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	unknown := e.waitUntil(ctx, func() bool { return e.past == nil || e.epoch.isKnown() })
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.past == nil {
		return
	}
	admission, rights := e.epoch.hashes()
	for owner, p := range e.past.Owners {
		if unknown == nil && admission == e.past.Admission && (p.User == "" || rights.of(p.namespaces()) == p.Rights) {
			e.recalled[owner] = p
		}
	}
	e.past = nil
	e.notify()
}

// revive takes what an earlier process knew of an owner as known. The lock is held.
func (e *Engine) revive(owner Owner, o *owned) {
	p, ok := e.recalled[owner]
	delete(e.recalled, owner)
	if !ok || len(o.objects) > 0 || o.applied || p.User != o.client.User() {
		return
	}
	for _, object := range p.Objects {
		o.objects[object.Entry.ObjectID] = &tracked{
			entry: object.Entry, desired: object.Desired, live: object.Live, once: object.Once, foreign: object.Foreign,
		}
	}
}

// flush writes down what is known, when it changed.
func (e *Engine) flush() {
	e.mu.Lock()
	changed := e.dirty && e.memoryFile != "" && e.past == nil && e.epoch.isKnown()
	var m memory
	if changed {
		e.dirty = false
		m = e.remembered()
	}
	e.mu.Unlock()
	if !changed {
		return
	}
	if err := writeMemory(e.memoryFile, m); err != nil {
		e.log.Warn("what was applied cannot be written down, so the next start checks everything", "error", err)
	}
}

// remembered returns what is to be written down. Owners that are to be checked anew are left out. The lock is held.
func (e *Engine) remembered() memory {
	m := memory{Format: memoryFormat, Owners: make(map[Owner]past, len(e.owned)+len(e.recalled))}
	admission, rights := e.epoch.hashes()
	m.Admission = admission
	for owner, p := range e.recalled {
		m.Owners[owner] = p
	}
	for owner, o := range e.owned {
		if o.client == nil || o.verify || o.suspected || !o.applied {
			continue
		}
		p := past{User: o.client.User(), Objects: make([]pastObject, 0, len(o.objects))}
		for _, t := range o.objects {
			if t.shared || t.busy || t.done || t.desired == (Hash{}) {
				continue
			}
			p.Objects = append(p.Objects, pastObject{t.entry, t.desired, t.live, t.once, t.foreign})
		}
		p.Rights = rights.of(p.namespaces())
		m.Owners[owner] = p
	}
	return m
}

// writeMemory replaces the file at once, so that a process that is killed leaves the old one or the new one.
func writeMemory(path string, m memory) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(gob.NewEncoder(f).Encode(m), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// flushUntil writes down what is known, until ctx is done.
func (e *Engine) flushUntil(ctx context.Context) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			e.flush()
			return
		case <-ticker.C:
			e.flush()
		}
	}
}
