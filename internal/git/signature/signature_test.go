package signature

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func keys(t *testing.T, names ...string) Keys {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range names {
		files[name] = file(t, name)
	}
	return ParseKeys(files)
}

func split(raw []byte, name string) (payload, signature []byte, err error) {
	if strings.HasSuffix(name, ".tag") {
		return Tag(raw, "v1.0.0")
	}
	return Commit(raw)
}

const (
	adaPGP   = "B3032306923F1278"
	gracePGP = "84641B4F5FFB4070"
	adaSSH   = "SHA256:0zrMxNLFvTRvKn2a01P/Pp1j1yZ393e/w7VYYwNaisY"
	graceSSH = "SHA256:ZGHD/pAMZJsN/wp7Et5FChJLUWJvxEJZ0v5P7HDFrCo"
)

func TestSignaturesOfStockGit(t *testing.T) {
	all := []string{"ada.asc", "ada.sshpub", "grace.asc", "grace.sshpub"}
	for name, want := range map[string]struct{ file, key string }{
		"pgp-ed25519.commit":             {"ada.asc", adaPGP},
		"pgp-ed25519.tag":                {"ada.asc", adaPGP},
		"pgp-rsa.commit":                 {"grace.asc", gracePGP},
		"pgp-rsa.tag":                    {"grace.asc", gracePGP},
		"pgp-merge-of-signed-tag.commit": {"ada.asc", adaPGP},
		"ssh-ed25519.commit":             {"ada.sshpub", adaSSH},
		"ssh-ed25519.tag":                {"ada.sshpub", adaSSH},
		"ssh-rsa.commit":                 {"grace.sshpub", graceSSH},
		"ssh-rsa.tag":                    {"grace.sshpub", graceSSH},
	} {
		t.Run(name, func(t *testing.T) {
			raw := file(t, name)
			payload, signature, err := split(raw, name)
			if err != nil {
				t.Fatal(err)
			}
			if key, err := keys(t, all...).Verify(payload, signature); err != nil || key != want.key {
				t.Errorf("signed by %q, want %q: %v", key, want.key, err)
			}
			var others []string
			for _, other := range all {
				if other != want.file {
					others = append(others, other)
				}
			}
			if key, err := keys(t, others...).Verify(payload, signature); !errors.Is(err, ErrNoKey) {
				t.Errorf("signed by %q without its key: %v", key, err)
			}
			changed := bytes.Replace(payload, []byte("Ada"), []byte("Eve"), 1)
			if key, err := keys(t, all...).Verify(changed, signature); !errors.Is(err, ErrNoKey) {
				t.Errorf("a changed object is signed by %q: %v", key, err)
			}
		})
	}
}

func TestOnlyKeysOfTheRightFormCount(t *testing.T) {
	payload, signature, err := Commit(file(t, "ssh-ed25519.commit"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = keys(t, "ada.asc", "grace.asc").Verify(payload, signature)
	if err == nil || errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "*.sshpub") {
		t.Error(err)
	}
	payload, signature, err = Commit(file(t, "pgp-rsa.commit"))
	if err != nil {
		t.Fatal(err)
	}
	broken := ParseKeys(map[string][]byte{"ada.sshpub": file(t, "ada.sshpub"), "old.asc": []byte("no key")})
	_, err = broken.Verify(payload, signature)
	if err == nil || !strings.Contains(err.Error(), "*.asc") || !strings.Contains(err.Error(), "old.asc cannot be read") {
		t.Error(err)
	}
	for _, text := range []string{"-----BEGIN SIGNED MESSAGE-----\n", "-----BEGIN SOMETHING-----\n", ""} {
		if _, err := keys(t, "ada.asc").Verify(payload, []byte(text)); err == nil || !strings.Contains(err.Error(), "OpenPGP or SSH") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestKeysOfOneFile checks that a file may hold several keys, with comments, and that a key without the suffix of its
// kind is taken for an OpenPGP key.
func TestKeysOfOneFile(t *testing.T) {
	together := ParseKeys(map[string][]byte{
		"team":        append(append(file(t, "ada.asc"), "\nsome words\n"...), file(t, "grace.asc")...),
		"team.sshpub": append(append([]byte("# the team\n\n"), file(t, "ada.sshpub")...), file(t, "grace.sshpub")...),
	})
	for _, name := range []string{"pgp-ed25519.commit", "pgp-rsa.tag", "ssh-ed25519.tag", "ssh-rsa.commit"} {
		payload, signature, err := split(file(t, name), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := together.Verify(payload, signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestObjectsThatAreNotSignedAsTheySay(t *testing.T) {
	unsigned := []byte("tree 0\nauthor Ada\n\ngpgsig is only a word here\n")
	if _, _, err := Commit(unsigned); !errors.Is(err, ErrUnsigned) {
		t.Error(err)
	}
	if _, _, err := Tag([]byte("object 0\ntype commit\ntag v1.0.0\n\na -----BEGIN PGP SIGNATURE-----\n"), "v1.0.0"); !errors.Is(err, ErrUnsigned) {
		t.Error(err)
	}
	if _, _, err := Tag(file(t, "pgp-rsa.tag"), "v2.0.0"); err == nil || !strings.Contains(err.Error(), `"v1.0.0"`) {
		t.Errorf("a tag under another name: %v", err)
	}
	double := bytes.Replace(file(t, "pgp-rsa.commit"), []byte("gpgsig "), []byte("gpgsig x\ngpgsig "), 1)
	if _, _, err := Commit(double); err == nil {
		t.Error("a commit with two signatures is accepted")
	}
	other := bytes.Replace(file(t, "pgp-rsa.commit"), []byte("gpgsig "), []byte("gpgsig-sha256 x\n y\ngpgsig "), 1)
	payload, signature, err := Commit(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys(t, "grace.asc").Verify(payload, signature); err != nil {
		t.Errorf("a signature of the other form is taken for a part of the commit: %v", err)
	}
}
