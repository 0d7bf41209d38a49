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

// checkAfterReboot removes content that is not what its digest says. A process that is killed leaves everything that it
// wrote to the kernel, a machine that loses its power does not: then a file may be shorter than its folder says.
func (s *Store) checkAfterReboot() error {
	// Where the kernel does not tell, nothing is known, and everything is checked.
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	name := filepath.Join(s.dir, bootFile)
	was, err := os.ReadFile(name)
	if err == nil && len(boot) > 0 && bytes.Equal(was, boot) {
		return nil
	}
	for _, folder := range []string{objectsDir, filesDir} {
		if err := s.dropDamaged(filepath.Join(s.dir, folder), folder == filesDir); err != nil {
			return err
		}
	}
	if err := os.WriteFile(name, boot, 0o644); err != nil {
		return fmt.Errorf("recording the boot: %w", err)
	}
	return nil
}

func (s *Store) dropDamaged(dir string, files bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		digest, name := "sha256:"+entry.Name(), filepath.Join(dir, entry.Name())
		if files && wholeFile(name, digest) || !files && wholeTree(name, digest) {
			continue
		}
		s.log.Info("dropping a damaged artifact", "digest", digest)
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// wholeTree says whether both the tree and the tarball in dir have the digest.
func wholeTree(dir, digest string) bool {
	got, _, err := archive(context.Background(), filepath.Join(dir, "tree"), io.Discard)
	return err == nil && got == digest && wholeFile(filepath.Join(dir, "tarball"), digest)
}

func wholeFile(name, digest string) bool {
	got, err := digestOf(name)
	return err == nil && got == digest
}
