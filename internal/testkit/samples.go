package testkit

import (
	"os"
	"path/filepath"
	"testing"
)

// Samples returns the folder of what must be accepted unchanged: Packs, values and pipelines of others. It lies beside the
// repository, not in it, for the samples hold other people's addresses; PEYK_SAMPLES says where else. Where it is missing the
// test is skipped, but fails when CI is set.
func Samples(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("PEYK_SAMPLES")
	if dir == "" {
		root, err := Root()
		if err != nil {
			t.Fatal(err)
		}
		dir = filepath.Join(root, "..", "shared", "reference", "samples")
	}
	_, err := os.Stat(dir)
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("the samples are missing, set PEYK_SAMPLES to their folder: %v", err)
	default:
		t.Skipf("the samples are not on this machine, PEYK_SAMPLES says where they are: %v", err)
	}
	return dir
}
