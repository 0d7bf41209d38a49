package flux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/git/gittest"
	"github.com/peyk/peyk/internal/testkit"
)

// A new deploy key is printed, let in by the owner of the repository, pushed with and kept in the cluster, where the next
// bootstrap finds it.
func TestBootstrapOverSSH(t *testing.T) {
	work(t)
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "fleet")
	repo.Commit("main", "first", map[string]string{"clusters/ssh/apps/one.yaml": configMap("over-ssh", "1")})
	server := gittest.NewSSHServer(t, root, "")
	available(t)

	args := []string{
		"bootstrap", "git", "--url", "ssh://git@" + server.Address + "/fleet.git", "--path", "clusters/ssh", "--ssh-key-algorithm", "ed25519",
		"--components-extra=image-reflector-controller,image-automation-controller", "--image", "registry.example.org/peyk:v0.0.1",
		"--namespace", "ssh-sync",
	}
	out := answering(t, server, args)
	contains(t, out, "collected public key from SSH server", "✚ deploy key: ssh-ed25519 ", "with the right to write? [y/N]", "✔ committed component", "✔ bootstrap finished")
	if got := value(t, "over-ssh"); got != "1" {
		t.Errorf("the value that the repository holds is %q in the cluster, want 1", got)
	}
	secret := &corev1.Secret{}
	check(t, shared.client.Get(t.Context(), client.ObjectKey{Namespace: "ssh-sync", Name: "flux-system"}, secret))
	if !bytes.Equal(secret.Data["known_hosts"], server.KnownHosts) || strings.Contains(out, string(secret.Data["identity"])) {
		t.Errorf("the secret knows the hosts %q, want %q; and the private key must not be printed:\n%s", secret.Data["known_hosts"], server.KnownHosts, out)
	}

	head := repo.Git("rev-parse", "main")
	contains(t, mustRun(t, "peyk", args...), "✔ using the deploy key in the secret ssh-sync/flux-system", "✔ component and sync manifests are up to date", "✔ bootstrap finished")
	if again := repo.Git("rev-parse", "main"); again != head {
		t.Errorf("the second bootstrap committed: %s", repo.Git("log", "--oneline", "main"))
	}

	key := filepath.Join(t.TempDir(), "key")
	check(t, os.WriteFile(key, server.Identity, 0o600))
	contains(t, mustRun(t, "peyk", append(args, "--private-key-file", key)...), "✚ deploy key: ssh-ed25519 ", "✔ bootstrap finished")
	check(t, os.WriteFile(key, gittest.NewKey(t), 0o600))
	if out, code := run(t, "peyk", append(args, "--private-key-file", key)...); code != 1 || strings.Contains(out, "PRIVATE KEY") {
		t.Errorf("with a key that the server does not know: exit code %d, want 1, and\n%s", code, out)
	}
}

var deployKey = regexp.MustCompile(`deploy key: (ssh-\S+ \S+)`)

// answering runs peyk, lets the deploy key in that it prints, and then says yes.
func answering(t *testing.T, server *gittest.SSHServer, args []string) string {
	t.Helper()
	path, err := testkit.Program("peyk")
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a program of this repository
	cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.kubeconfig, "NO_COLOR=1")
	in, err := cmd.StdinPipe()
	check(t, err)
	out, write, err := os.Pipe()
	check(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	check(t, cmd.Start())
	check(t, write.Close())
	var said strings.Builder
	buffer := make([]byte, 4096)
	for asked := false; ; {
		n, err := out.Read(buffer)
		said.Write(buffer[:n])
		if !asked && strings.Contains(said.String(), "[y/N]") {
			asked = true
			found := deployKey.FindStringSubmatch(said.String())
			if found == nil {
				t.Fatalf("no deploy key is printed:\n%s", said.String())
			}
			check(t, server.Admit(found[1]))
			_, err := io.WriteString(in, "y\n")
			check(t, err)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("peyk %s: %v\n%s", strings.Join(args, " "), err, said.String())
	}
	return said.String()
}
