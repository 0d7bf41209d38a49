package packrepository

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
)

// EnsureBuiltin creates the ClusterPackRepositories of the charts that ship inside Peyk when they are not there. One
// that exists is left as it is: somebody may have pointed the name at a repository of their own.
type EnsureBuiltin struct{ Client client.Client }

// Start implements manager.Runnable.
func (e EnsureBuiltin) Start(ctx context.Context) error {
	for _, name := range []string{"kubit-paas", "kubit-packs"} {
		err := e.Client.Create(ctx, &packv1.ClusterPackRepository{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       packv1.PackRepositorySpec{URL: "builtin://" + name},
		}, client.FieldOwner("peyk"))
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating ClusterPackRepository %s: %w", name, err)
		}
	}
	return nil
}

// NeedLeaderElection says that only the leader creates them.
func (e EnsureBuiltin) NeedLeaderElection() bool { return true }
