package supervisor

import (
	"os"
	"strings"
	"testing"

	"github.com/peyk/peyk/local/internal/cluster"
)

func TestS3SecretIsMadeOnceAndKept(t *testing.T) {
	dir := cluster.Dir(t.TempDir())
	secret, err := s3Secret(dir)
	if err != nil || len(secret) < 20 {
		t.Fatalf("made a secret of %d characters, %v", len(secret), err)
	}
	info, err := os.Stat(dir.S3CredentialsFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v, want it for its owner only", info.Mode(), err)
	}
	if again, err := s3Secret(dir); err != nil || again != secret {
		t.Errorf("the second start has another secret: %v", err)
	}
	if err := os.WriteFile(dir.S3CredentialsFile(), []byte("[default]\naws_access_key_id = x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s3Secret(dir); err == nil || !strings.Contains(err.Error(), "aws_secret_access_key") {
		t.Errorf("got %v, want an error that names what is missing", err)
	}
}
