package tenancy_test

import (
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/kube"
	"github.com/peyk/peyk/internal/tenancy"
)

func TestCheckRef(t *testing.T) {
	locked := tenancy.Policy{}.LockDown()
	for name, c := range map[string]struct {
		policy  tenancy.Policy
		to      string
		refused bool
	}{
		"trusting, another namespace": {tenancy.Policy{}, "b", false},
		"locked, own namespace":       {locked, "a", false},
		"locked, no namespace":        {locked, "", false},
		"locked, another namespace":   {locked, "b", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.policy.CheckRef("a", c.to, "spec.sourceRef")
			if (err != nil) != c.refused {
				t.Fatalf("CheckRef = %v, want refused %t", err, c.refused)
			}
			if c.refused && !strings.Contains(err.Error(), "spec.sourceRef") {
				t.Errorf("the error does not name the field: %v", err)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	locked := tenancy.Policy{}.LockDown()
	for name, c := range map[string]struct {
		policy tenancy.Policy
		named  string
		want   kube.Identity
	}{
		"trusting":        {tenancy.Policy{}, "", kube.Identity{Namespace: "a"}},
		"trusting, named": {tenancy.Policy{}, "x", kube.Identity{Namespace: "a", ServiceAccount: "x"}},
		"locked":          {locked, "", kube.Identity{Namespace: "a", ServiceAccount: "default"}},
		"locked, named":   {locked, "x", kube.Identity{Namespace: "a", ServiceAccount: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.policy.Identity("a", c.named); got != c.want {
				t.Errorf("Identity = %+v, want %+v", got, c.want)
			}
		})
	}
}

// A service account that was chosen before the lock-down is kept.
func TestLockDownKeepsTheServiceAccount(t *testing.T) {
	if got := (tenancy.Policy{DefaultServiceAccount: "tenant"}).LockDown().DefaultServiceAccount; got != "tenant" {
		t.Errorf("DefaultServiceAccount = %q, want tenant", got)
	}
}
