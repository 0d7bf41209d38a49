package git

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	adapter "github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/git/ignore"
)

func secret(keys ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "git"}, Data: map[string][]byte{}}
	for _, key := range keys {
		s.Data[key] = []byte("value of " + key)
	}
	return s
}

func TestCredentials(t *testing.T) {
	const https, ssh = "https://example.org/app", "ssh://git@example.org/app"
	for name, tt := range map[string]struct {
		secret  *corev1.Secret
		address string
		want    adapter.Credentials
		lacks   string
	}{
		"basic": {secret("username", "password"), https,
			adapter.Credentials{Username: "value of username", Password: "value of password"}, ""},
		"token":          {secret("bearerToken"), https, adapter.Credentials{BearerToken: "value of bearerToken"}, ""},
		"authority only": {secret("ca.crt"), https, adapter.Credentials{CA: []byte("value of ca.crt")}, ""},
		"names of old": {secret("caFile", "certFile", "keyFile"), https, adapter.Credentials{
			CA: []byte("value of caFile"), ClientCert: []byte("value of certFile"), ClientKey: []byte("value of keyFile")}, ""},
		"key": {secret("identity", "known_hosts", "password", "identity.pub"), ssh, adapter.Credentials{
			SSHKey: []byte("value of identity"), KnownHosts: []byte("value of known_hosts"), SSHPassphrase: []byte("value of password")}, ""},
		"no password":        {secret("username"), https, adapter.Credentials{}, "password"},
		"no username":        {secret("password"), https, adapter.Credentials{}, "username"},
		"half a certificate": {secret("tls.crt"), https, adapter.Credentials{}, "tls.key"},
		"other half":         {secret("tls.key"), https, adapter.Credentials{}, "tls.crt"},
		"nothing of use":     {secret("identity", "known_hosts"), https, adapter.Credentials{}, "bearerToken"},
		"no identity":        {secret("username", "password"), ssh, adapter.Credentials{}, "identity"},
		"no known_hosts":     {secret("identity"), ssh, adapter.Credentials{}, "known_hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Credentials(tt.secret, tt.address)
			if tt.lacks == "" {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				return
			}
			if _, ok := errors.AsType[*FieldError](err); !ok || !strings.Contains(err.Error(), tt.lacks) || !strings.Contains(err.Error(), "Secret git") {
				t.Errorf("the error does not name the Secret and %s: %v", tt.lacks, err)
			}
			if err != nil && strings.Contains(err.Error(), "value of") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestProxy(t *testing.T) {
	s := secret("username", "password")
	if _, err := Proxy(s); err == nil || !strings.Contains(err.Error(), "address") {
		t.Error(err)
	}
	s.Data["address"] = []byte("proxy.example.org:3128")
	if _, err := Proxy(s); err == nil || !strings.Contains(err.Error(), "http://") {
		t.Error(err)
	}
	s.Data["address"] = []byte("http://proxy.example.org:3128")
	got, err := Proxy(s)
	if want := "http://value%20of%20username:value%20of%20password@proxy.example.org:3128"; err != nil || got != want {
		t.Errorf("%s %v", got, err)
	}
}

// TestIncludeStaysInside checks that links in either tree lead nowhere.
func TestIncludeStaysInside(t *testing.T) {
	outside, from, to := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret"), "secret")
	write(filepath.Join(from, "a.yaml"), "a")
	for _, link := range []string{filepath.Join(from, "link"), filepath.Join(to, "up")} {
		if err := os.Symlink(outside, link); err != nil {
			t.Fatal(err)
		}
	}
	include := func(fromPath, toPath string) error {
		return CopyInclude(to, from, sourcev1.GitRepositoryInclude{
			GitRepositoryRef: meta.LocalObjectReference{Name: "lib"}, FromPath: fromPath, ToPath: toPath,
		}, ignore.New(""))
	}
	if err := include("", "lib"); err != nil {
		t.Fatal(err)
	}
	if err := include("../..", "../../lib2"); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{"lib", "lib2"} {
		entries, err := os.ReadDir(filepath.Join(to, place))
		if err != nil || len(entries) != 1 || entries[0].Name() != "a.yaml" {
			t.Errorf("%s holds %v %v", place, entries, err)
		}
	}
	if err := include("link", "x"); err == nil {
		t.Error("a link out of the source is followed")
	}
	if err := include("", "up"); err == nil {
		t.Error("a link out of the target is followed")
	}
	if left, _ := os.ReadDir(outside); len(left) != 1 {
		t.Errorf("something was written outside: %v", left)
	}
	if err := include("missing", "y"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Error(err)
	}
}

// TestIncludeReplacesFiles checks that a file which is linked to an older tree is not written to.
func TestIncludeReplacesFiles(t *testing.T) {
	old, from, to := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, content := range map[string]string{old: "old", from: "new"} {
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(old, "a.yaml"), filepath.Join(to, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := CopyInclude(to, from, sourcev1.GitRepositoryInclude{ToPath: "."}, ignore.New("")); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{old: "old", to: "new"} {
		if got, err := os.ReadFile(filepath.Join(dir, "a.yaml")); err != nil || string(got) != want {
			t.Errorf("%q, want %q: %v", got, want, err)
		}
	}
}
