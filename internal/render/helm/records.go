package helm

import (
	"context"
	"slices"
	"strings"
	"sync"

	releases "helm.sh/helm/v4/pkg/release"
	release "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// ownerAnnotation names, on the Secret that records a revision, the object on whose behalf the revision was made. Helm
// does not carry annotations over to the next revision, so one made by hand has none.
const ownerAnnotation = "peyk.dev/owner"

// records are the Secrets of a namespace during one action. What the action has read or written is not read again: a
// release is one action's at a time, and Helm detects another program by the name of the next revision.
type records struct {
	typedcorev1.SecretInterface
	owner string

	mu     sync.Mutex
	kept   map[string]*corev1.Secret
	listed map[string]bool // by release: all of its Secrets are kept
}

func newRecords(secrets typedcorev1.SecretInterface, owner string) *records {
	return &records{SecretInterface: secrets, owner: owner, kept: map[string]*corev1.Secret{}, listed: map[string]bool{}}
}

// List returns the records of a release.
func (r *records) List(ctx context.Context, o metav1.ListOptions) (*corev1.SecretList, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	selector, err := labels.Parse(o.LabelSelector)
	name, found := "", false
	if err == nil {
		name, found = selector.RequiresExactMatch("name")
	}
	if !found {
		return r.SecretInterface.List(ctx, o)
	}
	if !r.listed[name] {
		all := labels.Set{"owner": "helm", "name": name}
		list, err := r.SecretInterface.List(ctx, metav1.ListOptions{LabelSelector: all.String()})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			r.kept[list.Items[i].Name] = &list.Items[i]
		}
		r.listed[name] = true
	}
	out := &corev1.SecretList{}
	for _, secret := range r.kept {
		if selector.Matches(labels.Set(secret.Labels)) {
			out.Items = append(out.Items, *secret)
		}
	}
	slices.SortFunc(out.Items, func(a, b corev1.Secret) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Get returns a record.
func (r *records) Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if secret := r.kept[name]; secret != nil {
		return secret, nil
	}
	if r.listed[releaseOf(name)] {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	secret, err := r.SecretInterface.Get(ctx, name, o)
	if err == nil {
		r.kept[name] = secret
	}
	return secret, err
}

// releaseOf returns the release of a record's name, such as sh.helm.release.v1.web.v3.
func releaseOf(name string) string {
	name = strings.TrimPrefix(name, "sh.helm.release.v1.")
	if i := strings.LastIndex(name, ".v"); i >= 0 {
		return name[:i]
	}
	return name
}

// Create writes a new record.
func (r *records) Create(ctx context.Context, secret *corev1.Secret, o metav1.CreateOptions) (*corev1.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owner != "" {
		secret.Annotations = map[string]string{ownerAnnotation: r.owner}
	}
	written, err := r.SecretInterface.Create(ctx, secret, o)
	if err != nil {
		return nil, err
	}
	r.kept[secret.Name] = written
	return written, nil
}

// Update writes a record anew.
func (r *records) Update(ctx context.Context, secret *corev1.Secret, o metav1.UpdateOptions) (*corev1.Secret, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.kept[secret.Name]; was != nil {
		secret.Annotations = was.Annotations
	}
	written, err := r.SecretInterface.Update(ctx, secret, o)
	if err != nil {
		return nil, err
	}
	r.kept[secret.Name] = written
	return written, nil
}

// Delete removes a record.
func (r *records) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.SecretInterface.Delete(ctx, name, o)
	if err == nil || apierrors.IsNotFound(err) {
		delete(r.kept, name)
	}
	return err
}

// version returns the resource version of a record that was read or written, and who made it.
func (r *records) version(name string) (version, owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if secret := r.kept[name]; secret != nil {
		return secret.ResourceVersion, secret.Annotations[ownerAnnotation]
	}
	return "", ""
}

// observed is a storage driver that tells of every record that is written or deleted.
type observed struct {
	driver.Driver
	tell func(*release.Release)
}

func (d observed) Create(key string, r releases.Releaser) error {
	return d.after(r, d.Driver.Create(key, r))
}

func (d observed) Update(key string, r releases.Releaser) error {
	return d.after(r, d.Driver.Update(key, r))
}

func (d observed) Delete(key string) (releases.Releaser, error) {
	r, err := d.Driver.Delete(key)
	return r, d.after(r, err)
}

func (d observed) after(r releases.Releaser, err error) error {
	if record, ok := r.(*release.Release); ok && err == nil {
		d.tell(record)
	}
	return err
}
