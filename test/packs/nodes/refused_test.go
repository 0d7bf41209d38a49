package nodes_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// TestSampleWithDamagedTexts holds that a Pack whose encrypted texts were cut off in print says which they are, and what to do.
func TestSampleWithDamagedTexts(t *testing.T) {
	file := filepath.Join(testkit.Samples(t), "extra", "postgresql-ha-vault.pack.yaml")
	pack := newPack("test-postgres-ha/my-postgresql-ha")
	needNamespace(t, pack.Namespace)
	defer remove(t, pack)
	applyFile(t, file)
	eventually(t, time.Minute, "phase Invalid", func() error {
		if err := cluster.client.Get(t.Context(), client.ObjectKeyFromObject(pack), pack); err != nil {
			return err
		}
		if pack.Status.Phase != packv1.PackInvalid {
			return fmt.Errorf("the phase is %q", pack.Status.Phase)
		}
		return nil
	})
	for _, part := range []string{"spec.values.databases[0].password", `vault key "pass"`, "the text is damaged"} {
		if !strings.Contains(pack.Status.LastError, part) {
			t.Errorf("the Pack says %q, want %q in it", pack.Status.LastError, part)
		}
	}
}

// TestSampleSkeletonIsRefused holds that the panel's empty form is no Pack yet.
func TestSampleSkeletonIsRefused(t *testing.T) {
	_, err := kubectl("apply", "-f", filepath.Join(testkit.Samples(t), "extra", "pack-skeleton.yaml"))
	if err == nil || !strings.Contains(err.Error(), "resource name may not be empty") {
		t.Errorf("a Pack without a name: %v", err)
	}
}
