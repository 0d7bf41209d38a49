package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// A Cluster of CloudNativePG without a status was not looked at yet: it must not pass for a database that runs.
func TestHealthOfWhatNobodyLookedAt(t *testing.T) {
	cluster := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": map[string]any{"name": "db"},
	}}
	if got := HealthOf(cluster); got.Health != HealthInProgress {
		t.Errorf("without a status it is %s", got.Health)
	}
	for status, want := range map[string]Health{"False": HealthInProgress, "True": HealthCurrent} {
		cluster.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": status}}}
		if got := HealthOf(cluster); got.Health != want {
			t.Errorf("Ready %s: it is %s, want %s", status, got.Health, want)
		}
	}
}
