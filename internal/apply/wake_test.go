package apply

import (
	"log/slog"
	"testing"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

// An owner whose object became healthy comes before those that wait for their first pass, however long they do.
func TestOwnersThatWaitForHealthComeFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		health Health
		want   string
	}{
		"healthy":     {HealthCurrent, "applied"},
		"failed":      {HealthFailed, "applied"},
		"on its way":  {HealthInProgress, "new"},
		"not known":   {HealthUnknown, "new"},
		"there again": {HealthNotFound, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			e := New(clientOf(t, plane.Config), slog.New(slog.DiscardHandler), Kustomizations)
			q := priorityqueue.New[ctrl.Request]("test")
			defer q.ShutDown()
			e.queues.put(Kustomizations.Kind, q)
			owner := Owner{Kind: Kustomizations.Kind, Namespace: "n", Name: "applied"}
			request := ctrl.Request{}
			request.Namespace, request.Name = "n", "new"
			q.Add(request)
			e.mu.Lock()
			e.stateOf(owner)
			e.wakeWaiting(owner, tc.health)
			e.mu.Unlock()
			var got []string
			for range 2 {
				next, _ := q.Get()
				got = append(got, next.Name)
			}
			if got[0] != tc.want {
				t.Errorf("the order is %v, want %s first", got, tc.want)
			}
		})
	}
}
