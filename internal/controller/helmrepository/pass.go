package helmrepository

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/artifact"
	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/source/access"
	"github.com/peyk/peyk/internal/source/follow"
	source "github.com/peyk/peyk/internal/source/helm"
)

// pass is one pass over one HelmRepository.
type pass struct {
	*Controller
	obj *sourcev1.HelmRepository

	revision   string
	file       string // the index, while it is not stored yet
	validators helm.Validators
	stored     *artifact.Artifact
}

func (c *Controller) plan(obj *sourcev1.HelmRepository) reconcile.Pass {
	p := &pass{Controller: c, obj: obj}
	return follow.Pass(obj, follow.Steps{
		Find:  []reconcile.Phase{{Name: "fetch", Run: p.fetch, Failed: sourcev1.FetchFailedCondition}},
		Store: p.store, Stored: p.message, News: p.news, Close: p.close,
	})
}

func (p *pass) message() (reason, message string) {
	return reconcile.ReasonSucceeded, "stored artifact: revision '" + p.obj.Status.Artifact.Revision + "'"
}

func (p *pass) news() (reason, message string) {
	if p.revision == "" || p.revision == p.obj.Status.Artifact.Revision {
		return "", ""
	}
	return follow.NewRevision, "new index revision '" + p.revision + "'"
}

func (p *pass) close() {
	if p.file != "" {
		_ = os.Remove(p.file)
	}
}

// fetch downloads the index, unless the server says that it is the one that is stored.
func (p *pass) fetch(ctx context.Context) error {
	repository, err := source.Repository(ctx, access.Secrets{Reader: p.secrets, Namespace: p.obj.Namespace}, p.obj)
	if err != nil {
		return err
	}
	ctx, cancel := follow.Within(ctx, p.obj.Spec.Timeout)
	defer cancel()
	current, was := p.current()
	unchanged, err := p.download(ctx, repository, was)
	if err != nil {
		return p.failed(err)
	}
	if unchanged || current != nil && current.Revision == p.revision {
		p.stored = current
		return nil
	}
	if _, err := helm.OpenIndex(p.file); err != nil {
		return reconcile.Failf(sourcev1.IndexationFailedReason, "reading the index of %s: %w", p.obj.Spec.URL, err)
	}
	return nil
}

// current returns the index that is stored, when the status tells of it, and what the server said about it.
func (p *pass) current() (*artifact.Artifact, helm.Validators) {
	found, ok := p.artifacts.Get(refOf(p.obj))
	if !ok || !found.Is(p.obj.Status.Artifact) {
		return nil, helm.Validators{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if is := p.known[client.ObjectKeyFromObject(p.obj)]; is.url == p.obj.Spec.URL && is.digest == found.Digest {
		return found, is.validators
	}
	return found, helm.Validators{}
}

func (p *pass) download(ctx context.Context, repository helm.Repository, was helm.Validators) (unchanged bool, err error) {
	file, err := os.CreateTemp("", "index-*.yaml")
	if err != nil {
		return false, fmt.Errorf("making room for the index: %w", err)
	}
	p.file = file.Name()
	hash := sha256.New()
	p.validators, unchanged, err = p.charts.Download(ctx, repository, io.MultiWriter(file, hash), was)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil && !unchanged {
		p.revision = "sha256:" + hex.EncodeToString(hash.Sum(nil))
	}
	return unchanged, err
}

func (p *pass) failed(err error) error {
	err = fmt.Errorf("fetching the index of %s: %w", p.obj.Spec.URL, err)
	if e, ok := errors.AsType[*helm.ServerError](err); ok {
		return reconcile.RetryAfter(reconcile.ReasonFailed, err, e.After)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return reconcile.Failf(reconcile.ReasonFailed, "fetching the index of %s: no answer within spec.timeout", p.obj.Spec.URL)
	}
	return reconcile.Fail(reconcile.ReasonFailed, err)
}

// store keeps a new index and describes it in the status.
func (p *pass) store(ctx context.Context) error {
	if p.stored == nil {
		var err error
		name := "index-" + strings.TrimPrefix(p.revision, "sha256:") + ".yaml"
		if p.stored, err = p.artifacts.PutFile(ctx, refOf(p.obj), p.revision, name, p.copy); err != nil {
			return reconcile.Fail(sourcev1.ArchiveOperationFailedReason, err)
		}
	}
	p.remember()
	isNew := follow.IsNew(p.obj, p.stored)
	p.obj.Status.Artifact = p.stored.Describe(p.obj.Status.Artifact)
	p.obj.Status.URL = p.stored.URL
	if isNew {
		reconcile.Note(ctx, "NewArtifact", "stored fetched index of size %s from '%s'", size(p.stored.Size), p.obj.Spec.URL)
	}
	return nil
}

func (p *pass) copy(w io.Writer) error {
	file, err := os.Open(p.file)
	if err != nil {
		return fmt.Errorf("opening the index: %w", err)
	}
	defer file.Close()
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("storing the index: %w", err)
	}
	return nil
}

func (p *pass) remember() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[client.ObjectKeyFromObject(p.obj)] = known{url: p.obj.Spec.URL, digest: p.stored.Digest, validators: p.validators}
}

// size writes a number of bytes with four digits, such as 30.88kB.
func size(bytes int64) string {
	amount, unit := float64(bytes), "B"
	for _, larger := range []string{"kB", "MB", "GB"} {
		if amount < 1000 {
			break
		}
		amount, unit = amount/1000, larger
	}
	return fmt.Sprintf("%.4g%s", amount, unit)
}
