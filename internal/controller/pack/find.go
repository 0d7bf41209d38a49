package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/render/helm"
	"github.com/peyk/peyk/internal/vault"
)

// Finder finds charts as the controller does, for those who ask before a Pack is there. It implements pack.Charts.
type Finder struct {
	// Reader reads the repositories.
	Reader client.Reader
	// Catalog knows what the repositories have.
	Catalog *helm.Catalog
}

// Find implements pack.Charts. What the controller would wait for, or try again, may still become right.
func (f Finder) Find(ctx context.Context, namespace string, c pack.Chart) (pack.Schema, error) {
	p := &pass{
		Controller: &Controller{reader: f.Reader, catalog: f.Catalog},
		obj:        &packv1.Pack{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}},
		wanted:     wanted{kind: c.Kind, repository: c.Repository, name: c.Name, version: c.Version},
	}
	p.key.Namespace = namespace
	if err := p.findRepository(ctx); err != nil {
		return nil, p.doubt(ctx, err)
	}
	if err := p.resolveChart(ctx); err != nil {
		return nil, p.doubt(ctx, err)
	}
	return func(values map[string]any) error {
		if err := helm.Check(p.chart, values); err != nil {
			return errors.New(pack.NewRedactor(pack.Vars{}, values).Text(err.Error()))
		}
		return nil
	}, nil
}

// doubt marks what may still become right: whatever the controller would wait for or try again, and a repository that is not
// there.
func (p *pass) doubt(ctx context.Context, err error) error {
	if p.phase == packv1.PackInvalid {
		_, unread := p.catalog.Versions(ctx, p.repository, p.wanted.name)
		if p.repository.Name == "" || !isUnread(unread) {
			return err
		}
	}
	return pack.NotYet(fmt.Errorf("the chart and its values are not checked yet: %w", err))
}

func isUnread(err error) bool {
	_, unread := errors.AsType[*helm.UnreadError](err)
	return unread
}

// Opened returns the plain texts of what is encrypted in a Pack and in the vars that it uses, for taking them out of messages.
func Opened(ctx context.Context, obj *packv1.Pack, m Material) []string {
	p := &pass{
		Controller: &Controller{reader: m.Reader, keyring: vault.NewKeyring(m.Reader, nil)}, obj: obj.DeepCopy(), key: client.ObjectKeyFromObject(obj),
	}
	// What cannot be read of it was not applied either, and what was opened before an error is hidden all the same.
	if err := p.resolveVars(ctx); err == nil && obj.Spec.Values != nil {
		values := map[string]any{}
		if err := json.Unmarshal(obj.Spec.Values.Raw, &values); err == nil {
			if closed, err := p.vars.ExpandValues(values); err == nil {
				_, _ = p.vault.Values(closed, "spec.values")
			}
		}
	}
	if p.vault == nil {
		return nil
	}
	return p.vault.Secrets()
}
