package git

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Checkout is a branch of a repository in a folder of its own, to be changed, committed and pushed. It is made by the
// stock git program, which knows every server's ways of receiving a push. Close removes it.
type Checkout struct {
	remote Remote
	branch string
	dir    string
	env    []string
}

// Signature is who makes a commit.
type Signature struct{ Name, Email string }

// CheckOut reads the newest commit of a branch. A repository or branch that does not exist yet begins empty.
func CheckOut(ctx context.Context, remote Remote, branch string) (*Checkout, error) {
	if _, err := remote.parse(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peyk-checkout-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the repository: %w", err)
	}
	c := &Checkout{remote: remote, branch: branch, dir: dir}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close removes the folder.
func (c *Checkout) Close() error { return os.RemoveAll(c.dir) }

func (c *Checkout) tree() string { return filepath.Join(c.dir, "tree") }

func (c *Checkout) open(ctx context.Context) error {
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := os.Mkdir(c.tree(), 0o700); err != nil {
		return fmt.Errorf("making a folder for the repository: %w", err)
	}
	if _, err := c.git(ctx, "init", "--quiet", "--initial-branch="+c.branch); err != nil {
		return err
	}
	ref := "refs/heads/" + c.branch
	found, err := c.git(ctx, "ls-remote", "--", c.remote.URL, ref)
	if err != nil || strings.TrimSpace(found) == "" {
		return err
	}
	if _, err := c.git(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--", c.remote.URL, ref); err != nil {
		return err
	}
	_, err = c.git(ctx, "reset", "--quiet", "--hard", "FETCH_HEAD")
	return err
}

// authenticate puts the credentials where git finds them and other users of the machine do not: into the environment and
// into files of the folder.
func (c *Checkout) authenticate() error {
	credentials := c.remote.Credentials
	config := map[string]string{"http.followRedirects": "false", "credential.helper": "", "core.hooksPath": os.DevNull}
	switch {
	case credentials.BearerToken != "":
		config["http.extraHeader"] = "Authorization: Bearer " + credentials.BearerToken
	case credentials.Username != "" || credentials.Password != "":
		login := cmpOr(credentials.Username, "git") + ":" + credentials.Password
		config["http.extraHeader"] = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(login))
	}
	identity, err := openIdentity(credentials)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"ca.crt": credentials.CA, "identity": identity, "known_hosts": credentials.KnownHosts} {
		if len(content) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(c.dir, name), content, 0o600); err != nil {
			return fmt.Errorf("writing the credentials: %w", err)
		}
	}
	if len(credentials.CA) > 0 {
		config["http.sslCAInfo"] = filepath.Join(c.dir, "ca.crt")
	}
	c.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "LC_ALL=C",
		"GIT_PROTOCOL_FROM_USER=0", "GIT_ALLOW_PROTOCOL=http:https:ssh", "SSH_AUTH_SOCK=" + os.Getenv("SSH_AUTH_SOCK"), "GIT_SSH_COMMAND=" + c.ssh(),
	}
	n := 0
	for name, value := range config {
		c.env = append(c.env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, name), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value))
		n++
	}
	c.env = append(c.env, "GIT_CONFIG_COUNT="+strconv.Itoa(n))
	return nil
}

// ssh is the command that git connects with. Only the host keys that are known are accepted. Without a key the user's
// agent is asked.
func (c *Checkout) ssh() string {
	command := "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + filepath.Join(c.dir, "known_hosts")
	if len(c.remote.Credentials.SSHKey) > 0 {
		command += " -o IdentitiesOnly=yes -i " + filepath.Join(c.dir, "identity")
	}
	return command
}

func (c *Checkout) git(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // the arguments are Peyk's, and the address was checked
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.tree(), c.env, &stdout, &stderr
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("the git program is missing: install it, for example with 'apt-get install git'")
	}
	if err != nil {
		said := c.remote.Credentials.redact(strings.TrimSpace(stderr.String()))
		said = strings.ReplaceAll(said, c.remote.URL, c.remote.Address())
		return "", fmt.Errorf("running git %s on %s: %w: %s", args[0], c.remote.Address(), err, said)
	}
	return stdout.String(), nil
}

// Read returns the content of a file, and whether there is one.
func (c *Checkout) Read(name string) ([]byte, bool, error) {
	root, err := os.OpenRoot(c.tree())
	if err != nil {
		return nil, false, fmt.Errorf("opening the repository: %w", err)
	}
	defer func() { _ = root.Close() }()
	data, err := root.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, true, nil
}

// Write makes a file so. It returns whether that changed it.
func (c *Checkout) Write(name string, data []byte) (bool, error) {
	was, exists, err := c.Read(name)
	if err != nil || exists && string(was) == string(data) {
		return false, err
	}
	root, err := os.OpenRoot(c.tree())
	if err != nil {
		return false, fmt.Errorf("opening the repository: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, fmt.Errorf("writing %s: %w", name, err)
	}
	if err := root.WriteFile(name, data, 0o644); err != nil {
		return false, fmt.Errorf("writing %s: %w", name, err)
	}
	return true, nil
}

// Push commits what was written and pushes the branch. It returns the commit. A branch that somebody else pushed to
// meanwhile is not overwritten: that is an error.
func (c *Checkout) Push(ctx context.Context, author Signature, message string) (string, error) {
	c.env = append(c.env,
		"GIT_AUTHOR_NAME="+author.Name, "GIT_AUTHOR_EMAIL="+author.Email, "GIT_COMMITTER_NAME="+author.Name, "GIT_COMMITTER_EMAIL="+author.Email,
	)
	for _, args := range [][]string{
		{"add", "--force", "--all", "."},
		{"commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message=" + message},
		{"push", "--quiet", "--", c.remote.URL, "HEAD:refs/heads/" + c.branch},
	} {
		if _, err := c.git(ctx, args...); err != nil {
			return "", err
		}
	}
	commit, err := c.git(ctx, "rev-parse", "HEAD")
	return strings.TrimSpace(commit), err
}
