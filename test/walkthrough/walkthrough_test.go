// Package walkthrough runs the commands of docs/guide/walkthrough.md as a reader does: in their order, in one shell, on a cluster
// of their own. Programs are taken from bin/.
package walkthrough

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peyk/peyk/internal/testkit"
)

// section is what stands between two headings.
type section struct {
	title    string
	commands string
}

// read takes the shell commands out of a guide.
func read(t *testing.T, file string) []section {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []section
	inside := false
	for line := range strings.Lines(string(text)) {
		switch {
		case inside && line == "```\n":
			inside = false
		case inside:
			found[len(found)-1].commands += line
		case line == "```sh\n":
			inside = true
		case strings.HasPrefix(line, "#"):
			found = append(found, section{title: strings.Trim(line, "# \n")})
		case strings.HasPrefix(line, "```"):
			t.Fatalf("%s: a block that nobody runs: %s", file, line)
		}
	}
	return found
}

// expected are what the sections must say, by the beginnings of their titles, and what they must not.
var expected = []struct {
	section   string
	says, not []string
}{
	{section: "1.", says: []string{`(?m)^node-1\s+Ready`}},
	{section: "3.", says: []string{`pack\S*/postgres condition met`, `pack\S*/redis condition met`}},
	{section: "5.", says: []string{`"tags":\["[0-9a-f]{8}"\]`}},
	{section: "6.", says: []string{`(?m)^kind: Deployment`, `"cached":false`, `"cached":true`}},
	{section: "7.", says: []string{`"message":"Ping`}, not: []string{`password@`}},
	{section: "8.", says: []string{`\$KUBIT_VAULT;1\.2;AES256;app`, `sample-app\s+Synced\s+packs/sample-app\.pack\.yaml`}, not: []string{`password@`}},
	{section: "9.", says: []string{`successfully rolled out`}},
	{section: "10.", says: []string{`result: ready`, `processed and delivered`, `(?m)^-    DOCKER_TAG: \S+\n\+    DOCKER_TAG: \S+$`}, not: []string{`KUBIT_WEBHOOK_TOKEN: `, `warning: `}},
	{section: "11.", says: []string{`DriftCorrected`, `Update pack base/sample-app`}},
	{section: "12.", says: []string{`: Roll back pack base/sample-app to revision 3`, `Ping received and processed\.`, `sample-app\s+Synced`}},
}

// TestWalkthrough runs every command, in one shell that ends at the first that fails.
func TestWalkthrough(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	local, err := testkit.Program("peyk-local")
	if err != nil {
		t.Fatal(err)
	}
	if exit, ok := errors.AsType[*exec.ExitError](exec.Command(local, "status", "--name", "walkthrough").Run()); !ok || exit.ExitCode() != 3 {
		t.Fatal("a cluster named walkthrough is there: this test would use it and take it down")
	}
	sections := read(t, filepath.Join(root, "docs", "guide", "walkthrough.md"))
	script := "set -euo pipefail\n"
	for i, s := range sections {
		script += fmt.Sprintf("echo; echo 'section %d'\n%s\n", i, s.commands)
	}
	t.Cleanup(func() {
		_ = exec.Command(local, "down", "--name", "walkthrough").Run()
	})
	said := runShell(t, root, script)
	for i, s := range sections {
		_, text, _ := strings.Cut(said, fmt.Sprintf("\nsection %d\n", i))
		text, _, _ = strings.Cut(text, fmt.Sprintf("\nsection %d\n", i+1))
		check(t, s.title, text)
	}
	if exit, ok := errors.AsType[*exec.ExitError](exec.Command(local, "status", "--name", "walkthrough").Run()); !ok || exit.ExitCode() != 3 {
		t.Error("the cluster is still there")
	}
}

func check(t *testing.T, title, text string) {
	t.Helper()
	for _, want := range expected {
		if !strings.HasPrefix(title, want.section+" ") {
			continue
		}
		for _, pattern := range want.says {
			if !regexp.MustCompile(pattern).MatchString(text) {
				t.Errorf("%s: it does not say %s:\n%s", title, pattern, text)
			}
		}
		for _, pattern := range want.not {
			if regexp.MustCompile(pattern).MatchString(text) {
				t.Errorf("%s: it says %s:\n%s", title, pattern, text)
			}
		}
		return
	}
}

// runShell runs the commands in a home of their own, with Go's caches where they are. Everything is in a log file too.
func runShell(t *testing.T, root, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "HOME="+home, "WORK="+filepath.Join(home, "walkthrough"), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "NO_COLOR=1")
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		value, err := exec.CommandContext(ctx, "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, name+"="+strings.TrimSpace(string(value)))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// What a killed shell leaves is ended with it. The cluster leaves the group, and is taken down.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	logFile := filepath.Join(os.TempDir(), "peyk-walkthrough.log")
	if err := os.WriteFile(logFile, out.Bytes(), 0o600); err != nil {
		t.Error(err)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		t.Fatalf("%v (all of it: %s)\n%s", err, logFile, strings.Join(lines[max(0, len(lines)-60):], "\n"))
	}
	return out.String()
}
