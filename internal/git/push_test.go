package git_test

import (
	"strings"
	"testing"

	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/gittest"
)

func TestCheckoutIsChangedAndPushed(t *testing.T) {
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "fleet")
	repo.Git("config", "http.receivepack", "true")
	server := gittest.NewHTTPServer(t, root, &gittest.Auth{Username: "git", Password: "a-secret-password"})
	remote := git.Remote{URL: server.URL + "/fleet.git", Credentials: git.Credentials{Username: "git", Password: "a-secret-password"}}
	author := git.Signature{Name: "Ada", Email: "ada@example.org"}

	// The repository is empty: the first commit makes the branch.
	first := checkOut(t, remote)
	write(t, first, "clusters/prod/a.yaml", "a: 1\n", true)
	commit, err := first.Push(t.Context(), author, "first")
	if err != nil || repo.Git("rev-parse", "main") != commit {
		t.Fatalf("pushed %q, the branch is at %q: %v", commit, repo.Git("rev-parse", "main"), err)
	}

	second, late := checkOut(t, remote), checkOut(t, remote)
	write(t, second, "clusters/prod/a.yaml", "a: 1\n", false)
	write(t, second, "b.yaml", "b: 1\n", true)
	if _, err := second.Push(t.Context(), author, "second"); err != nil {
		t.Fatal(err)
	}
	if got := repo.Git("show", "main:clusters/prod/a.yaml"); got != "a: 1" {
		t.Errorf("the file of the first commit is %q", got)
	}

	// Somebody else was faster.
	write(t, late, "c.yaml", "c: 1\n", true)
	if _, err := late.Push(t.Context(), author, "late"); err == nil || !strings.Contains(err.Error(), "rejected") {
		t.Errorf("pushing over somebody else's commit: %v, want it rejected", err)
	}

	if _, err := second.Write("../outside", nil); err == nil {
		t.Error("a file outside the repository was written")
	}
}

func TestCheckoutNeedsTheRightPassword(t *testing.T) {
	root := t.TempDir()
	gittest.NewRepo(t, root, "fleet")
	server := gittest.NewHTTPServer(t, root, &gittest.Auth{Username: "git", Password: "a-secret-password"})
	remote := git.Remote{URL: server.URL + "/fleet.git", Credentials: git.Credentials{Username: "git", Password: "a-wrong-password"}}
	_, err := git.CheckOut(t.Context(), remote, "main")
	if err == nil || strings.Contains(err.Error(), "a-wrong-password") {
		t.Errorf("error %v, want one without the password", err)
	}
}

func checkOut(t *testing.T, remote git.Remote) *git.Checkout {
	t.Helper()
	c, err := git.CheckOut(t.Context(), remote, "main")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func write(t *testing.T, c *git.Checkout, name, content string, changes bool) {
	t.Helper()
	changed, err := c.Write(name, []byte(content))
	if err != nil || changed != changes {
		t.Fatalf("writing %s: changed %v, %v; want %v", name, changed, err, changes)
	}
}

func TestKeysThatAreMade(t *testing.T) {
	for want, o := range map[string]git.KeyOptions{
		"ssh-ed25519 ": {Algorithm: "ed25519"}, "ecdsa-sha2-nistp384 ": {Algorithm: "ecdsa", Curve: "p384"}, "ssh-rsa ": {Algorithm: "rsa", RSABits: 2048},
	} {
		private, public, err := git.NewSSHKey(o)
		if err != nil || !strings.HasPrefix(string(public), want) || !strings.Contains(string(private), "PRIVATE KEY") {
			t.Errorf("%v: public key %q, %v", o, public, err)
		}
		again, err := git.PublicSSHKey(private, nil)
		if err != nil || string(again) != string(public) {
			t.Errorf("%v: the private key's public half is %q, %v", o, again, err)
		}
	}
	for _, o := range []git.KeyOptions{{Algorithm: "dsa"}, {Algorithm: "rsa", RSABits: 1024}, {Algorithm: "ecdsa", Curve: "p1"}} {
		if _, _, err := git.NewSSHKey(o); err == nil {
			t.Errorf("%v: want an error", o)
		}
	}
}

func TestHostKeysAreScanned(t *testing.T) {
	root := t.TempDir()
	repo := gittest.NewRepo(t, root, "app")
	repo.Commit("main", "first", map[string]string{"a": "1"})
	server := gittest.NewSSHServer(t, root, "")
	hosts, err := git.ScanHostKeys(t.Context(), server.Address)
	if err != nil || string(hosts) != string(server.KnownHosts) {
		t.Errorf("host keys %q, %v; want %q", hosts, err, server.KnownHosts)
	}
}

// The ssh program reads few forms of keys; every key that can be made, and one with a passphrase, can be pushed with.
func TestPushOverSSH(t *testing.T) {
	for _, o := range []git.KeyOptions{{Algorithm: "ed25519"}, {Algorithm: "rsa", RSABits: 2048}, {Algorithm: "ecdsa", Curve: "p384"}, {}} {
		t.Run(o.Algorithm, func(t *testing.T) {
			root := t.TempDir()
			repo := gittest.NewRepo(t, root, "app")
			repo.Commit("main", "first", map[string]string{"a": "1"})
			server := gittest.NewSSHServer(t, root, "open sesame")
			credentials := git.Credentials{SSHKey: server.Identity, SSHPassphrase: []byte("open sesame"), KnownHosts: server.KnownHosts}
			if o.Algorithm != "" {
				private, public, err := git.NewSSHKey(o)
				if err == nil {
					err = server.Admit(string(public))
				}
				if err != nil {
					t.Fatal(err)
				}
				credentials.SSHKey, credentials.SSHPassphrase = private, nil
			}
			checkout, err := git.CheckOut(t.Context(), git.Remote{URL: "ssh://git@" + server.Address + "/app.git", Credentials: credentials}, "main")
			if err != nil {
				t.Fatal(err)
			}
			defer checkout.Close()
			if _, err := checkout.Write("b", []byte("2")); err != nil {
				t.Fatal(err)
			}
			commit, err := checkout.Push(t.Context(), git.Signature{Name: "a", Email: "a@example.org"}, "second")
			if head := strings.TrimSpace(repo.Git("rev-parse", "main")); err != nil || head != commit {
				t.Errorf("pushed %q, %v; the server has %q", commit, err, head)
			}
		})
	}
}
