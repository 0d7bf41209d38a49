package artifact

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// bootFile remembers which boot of the machine the store was written in.
const bootFile = "boot"

// checkAfterReboot removes trees that are not what their digest says. A process that is killed leaves everything that it
// wrote to the kernel, a machine that loses its power does not: then a file may be shorter than its folder says.
func (s *Store) checkAfterReboot() error {
	// Where the kernel does not tell, nothing is known, and everything is checked.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	name := filepath.Join(s.dir, bootFile)
	was, err := os.ReadFile(name)
	if err == nil && len(boot) > 0 && bytes.Equal(was, boot) {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "objects"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		digest := "sha256:" + entry.Name()
		if s.whole(digest) {
			continue
		}
		s.log.Info("dropping a damaged artifact", "digest", digest)
		if err := os.RemoveAll(s.objectDir(digest)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(name, boot, 0o644); err != nil {
		return fmt.Errorf("recording the boot: %w", err)
	}
	return nil
}

// whole says whether both the tree and the tarball have the digest.
func (s *Store) whole(digest string) bool {
	got, _, err := archive(context.Background(), filepath.Join(s.objectDir(digest), "tree"), io.Discard)
	if err != nil || got != digest {
		return false
	}
	got, err = digestOf(filepath.Join(s.objectDir(digest), "tarball"))
	return err == nil && got == digest
}
