package helmrelease

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/peyk/peyk/internal/tenancy"
)

func chartFile(t *testing.T, files map[string]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.tgz")
	check(t, os.WriteFile(file, archive(t, "web", files), 0o600))
	return file
}

func TestAdoptsWhatHelmInstalled(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate})
	helmCommand(t, "install", "app", chartFile(t, files), "-n", ns, "--set", "text=hand")
	p.publish(t, ns, "app", files)
	key := release(t, ns, "app", values("made"))
	obj := ready(t, key, v2.UpgradeSucceededReason)
	if obj.Status.History.Latest().Version != 2 || settings(t, ns, "app-settings")["text"] != "made" {
		t.Errorf("the status is %+v", obj.Status)
	}
	if out := helmCommand(t, "history", "app", "-n", ns); !strings.Contains(out, "superseded") || !strings.Contains(out, "deployed") {
		t.Errorf("helm's history is\n%s", out)
	}
}

func TestWhatIsDoneByHandIsUndone(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	files := web("1.0.0", map[string]string{"cm.yaml": configMapTemplate})
	p.publish(t, ns, "app", files)
	key := release(t, ns, "app", values("made"))
	ready(t, key, v2.InstallSucceededReason)
	helmCommand(t, "upgrade", "app", chartFile(t, files), "-n", ns, "--set", "text=hand", "--force-conflicts")
	version := func(v int) {
		eventually(t, "the release is to be put back", func() error {
			obj := get(t, key)
			if h := obj.Status.History.Latest(); h.Version != v || settings(t, ns, "app-settings")["text"] != "made" {
				return fmt.Errorf("the status is %+v", h)
			}
			return nil
		})
	}
	version(3)
	helmCommand(t, "rollback", "app", "2", "-n", ns, "--force-conflicts")
	version(5)
	helmCommand(t, "uninstall", "app", "-n", ns)
	obj := ready(t, key, v2.InstallSucceededReason)
	if obj.Status.History.Latest().Version != 1 {
		t.Errorf("the history is %+v", obj.Status.History.Latest())
	}
}
