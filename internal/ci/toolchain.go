package ci

import (
	"os"
	"path/filepath"
)

// Toolchain is what tests an application.
type Toolchain struct {
	// Image that holds it.
	Image string
	// Commands that run the tests.
	Commands []string
}

// toolchains by the file that tells of them, the first that is found counts.
var toolchains = []struct {
	file string
	Toolchain
}{
	{"go.mod", Toolchain{"golang:1", []string{"go vet ./...", "go test ./..."}}},
	{"package-lock.json", Toolchain{"node:lts", []string{"npm ci", "npm test --if-present"}}},
	{"pyproject.toml", Toolchain{"python:3", []string{"pip install .", "python -m unittest discover"}}},
	{"requirements.txt", Toolchain{"python:3", []string{"pip install -r requirements.txt", "python -m compileall -q ."}}},
	{"Cargo.toml", Toolchain{"rust:1", []string{"cargo test"}}},
	{"pom.xml", Toolchain{"maven:3", []string{"mvn --batch-mode test"}}},
}

// Detect finds out how the application in a folder is tested. It returns nil when nothing tells.
func Detect(dir string) *Toolchain {
	for _, known := range toolchains {
		if info, err := os.Stat(filepath.Join(dir, known.file)); err == nil && info.Mode().IsRegular() {
			return &known.Toolchain
		}
	}
	return nil
}
