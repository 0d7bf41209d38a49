package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/cli"
	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/decrypt/sopstest"
	"github.com/peyk/peyk/internal/vault"
)

// vaultRun runs a command with something on its standard input, and fails the test when it fails.
func vaultRun(t *testing.T, app *cli.App, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	app.Stdin = strings.NewReader(stdin)
	stdout, stderr, code := run(t, app, append([]string{"vault"}, args...)...)
	if code != cli.ExitOK {
		t.Fatalf("peyk vault %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout, stderr
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	return file
}

func contentOf(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func newVaultKey(t *testing.T, id, password string) *vault.Key {
	t.Helper()
	key, err := vault.NewKey(id, password, nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sealedBy(t *testing.T, key *vault.Key, plain string) string {
	t.Helper()
	text, err := key.Encrypt([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVaultWithoutACluster(t *testing.T) {
	app := &cli.App{Version: "v1", Connect: func(cli.Access) (*cli.Cluster, error) { t.Fatal("the cluster was asked"); return nil, nil }}
	password := writeFile(t, "password", "hunter22\n")
	for name, c := range map[string]struct {
		stdin, want string
		args        []string
	}{
		"argument":       {"", "secret-string", []string{"secret-string"}},
		"line from pipe": {"secret-string\n", "secret-string", nil},
		"pipe":           {"  a\n  b\n", "  a\n  b\n", nil},
		"no line break":  {"a b", "a b", nil},
		"fixed salt":     {"x", "x", []string{"--salt", "0123456789abcdef"}},
		"salt of kubit":  {"x", "x", []string{"--vault-salt", "0123456789abcdef"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, _ := vaultRun(t, app, c.stdin, append([]string{"encrypt", "-i", "webvp", "--password-file", password}, c.args...)...)
			if !strings.HasPrefix(text, "$KUBIT_VAULT;1.2;AES256;webvp\n") {
				t.Fatalf("encrypted: %s", text)
			}
			plain, _ := vaultRun(t, app, text, "decrypt", "--password-file", password)
			if plain != c.want {
				t.Errorf("decrypted %q, want %q", plain, c.want)
			}
			if plain, _ = vaultRun(t, app, "hunter22\n", "decrypt", "--password-stdin", text); plain != c.want {
				t.Errorf("with the password on standard input: %q, want %q", plain, c.want)
			}
			plain, warned := vaultRun(t, app, text, "decrypt", "-p", "hunter22")
			if plain != c.want || !strings.Contains(warned, "--password-stdin") {
				t.Errorf("with -p: %q, warned %q", plain, warned)
			}
		})
	}
	first, _ := vaultRun(t, app, "x", "encrypt", "-i", "a", "--password-file", password, "-s", "0123456789abcdef")
	second, _ := vaultRun(t, app, "x", "encrypt", "-i", "a", "--password-file", password, "-s", "0123456789abcdef")
	if first != second {
		t.Error("with a fixed salt equal texts differ")
	}
}

func TestVaultUsage(t *testing.T) {
	sealed := sealedBy(t, newVaultKey(t, "a", "one"), "hunter22")
	wrong := writeFile(t, "wrong", "another")
	cluster := newClient(t, interceptor.Funcs{}, newVaultKey(t, "a", "one").Secret("base"))
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no key":                {[]string{"encrypt", "x"}, cli.ExitUsage, "--vault-id"},
		"a bad name":            {[]string{"encrypt", "x", "-i", "A_B"}, cli.ExitUsage, "lower-case"},
		"unknown key":           {[]string{"encrypt", "x", "-i", "b"}, cli.ExitNotFound, "peyk vault key create b -n base"},
		"twice":                 {[]string{"encrypt", sealed, "-i", "a"}, cli.ExitUsage, "already"},
		"salt without password": {[]string{"encrypt", "x", "-i", "a", "--salt", "y"}, cli.ExitUsage, "--salt"},
		"two passwords":         {[]string{"encrypt", "x", "-i", "a", "-p", "x", "--password-file", wrong}, cli.ExitUsage, "one of"},
		"wrong password":        {[]string{"decrypt", sealed, "--password-file", wrong}, cli.ExitFailed, "another password"},
		"not encrypted":         {[]string{"decrypt", "hunter22"}, cli.ExitFailed, "does not begin"},
		"another key":           {[]string{"decrypt", sealed, "-i", "b"}, cli.ExitUsage, "names the key a"},
		"text and file":         {[]string{"encrypt", "x", "-i", "a", "-f", wrong}, cli.ExitUsage, "not both"},
		"age without a file":    {[]string{"encrypt", "x", "--age", "age1x"}, cli.ExitUsage, "--file"},
		"a bad recipient":       {[]string{"encrypt", "-f", wrong, "--age", "age1x"}, cli.ExitFailed, "recipient"},
		"create twice":          {[]string{"key", "create", "a"}, cli.ExitFailed, "peyk vault key rotate a"},
		"create what":           {[]string{"key", "create"}, cli.ExitUsage, "name the key"},
		"rotate unknown":        {[]string{"key", "rotate", "b"}, cli.ExitNotFound, `no vault key "b"`},
		"rotate to the same":    {[]string{"key", "rotate", "a", "-p", "one"}, cli.ExitFailed, "choose another"},
		"delete unknown":        {[]string{"key", "delete", "b", "-s"}, cli.ExitNotFound, `no vault key "b"`},
		"rekey what":            {[]string{"rekey"}, cli.ExitUsage, "--vault-id"},
		"rekey with one":        {[]string{"rekey", "-i", "a", "--password-file", wrong, "."}, cli.ExitUsage, "both passwords"},
		"scan nothing":          {[]string{"scan", "/nonexistent"}, cli.ExitFailed, "/nonexistent"},
	} {
		app := newApp(cluster)
		app.Stdin = strings.NewReader("")
		stdout, stderr, code := run(t, app, append([]string{"vault"}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) || strings.Contains(stdout+stderr, "hunter22") {
			t.Errorf("%s: exit code %d and %q, want %d and %q", name, code, stderr, c.code, c.want)
		}
	}
}

func TestVaultKeys(t *testing.T) {
	cluster := newClient(t, interceptor.Funcs{})
	app := newApp(cluster)
	dry, _ := vaultRun(t, app, "", "key", "create", "webvp", "--dry-run", "-n", "shop", "-p", "hunter22")
	var secret corev1.Secret
	if err := yaml.Unmarshal([]byte(dry), &secret); err != nil || secret.Kind != "Secret" || secret.Namespace != "shop" || string(secret.Data["password"]) != "hunter22" {
		t.Errorf("dry run: %v\n%s", err, dry)
	}
	out, _ := vaultRun(t, app, "", "key", "create", "webvp")
	text, _ := vaultRun(t, app, "secret-string", "encrypt", "-i", "webvp")
	if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "vault-webvp"}, &secret); err != nil {
		t.Fatal(err)
	}
	password := string(secret.Data["password"])
	if len(password) < 20 || strings.Contains(out, password) || len(secret.Data["salt"]) != 0 {
		t.Errorf("the key: %d characters, salt %q, printed %q", len(password), secret.Data["salt"], out)
	}
	vaultRun(t, app, "", "key", "rotate", "webvp")
	if plain, _ := vaultRun(t, app, text, "decrypt"); plain != "secret-string" {
		t.Errorf("after the rotation: %q", plain)
	}
	if other, _ := vaultRun(t, app, "secret-string", "encrypt", "-i", "webvp"); other == text {
		t.Error("the rotated key encrypts as before")
	}
	vaultRun(t, app, "hunter23\n", "create", "-i", "other", "--vault-salt", "0123456789abcdef", "--vault-password-stdin", "-n", "shop")
	listed, _ := vaultRun(t, app, "", "key", "list", "-A", "-o", "json")
	var rows []struct {
		Namespace, ID, Salt string
		Previous            int
	}
	if err := json.Unmarshal([]byte(listed), &rows); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("[{base webvp random 1} {shop other fixed 0}]", strings.TrimSpace(sprint(rows))); diff != "" || strings.Contains(listed, password) {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	if table, _ := vaultRun(t, app, "", "key", "list"); !strings.Contains(table, "webvp") || strings.Contains(table, "other") {
		t.Errorf("list of one namespace:\n%s", table)
	}
	pack := &packv1.Pack{ObjectMeta: named("base", "app"), Spec: packv1.PackSpec{Vars: map[string]apiextensionsv1.JSON{"A": {Raw: quoted(t, text)}}}}
	if err := cluster.Create(t.Context(), pack); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := run(t, app, "vault", "key", "delete", "webvp", "-s"); code != cli.ExitFailed || !strings.Contains(stderr, "the Pack app uses") {
		t.Errorf("deleting a key in use: exit code %d, %s", code, stderr)
	}
	app.Stdin = strings.NewReader("n\n")
	if _, _, code := run(t, app, "vault", "key", "delete", "webvp", "--force"); code != cli.ExitFailed {
		t.Errorf("answered no: exit code %d", code)
	}
	vaultRun(t, app, "", "key", "delete", "webvp", "-s", "--force")
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(&secret), &secret); err == nil {
		t.Error("the key is still there")
	}
}

func sprint(rows any) string {
	data, _ := json.Marshal(rows)
	return strings.NewReplacer(`"Namespace":`, "", `"ID":`, "", `"Salt":`, "", `"Previous":`, "", `"`, "", "},{", "} {", ",", " ").Replace(string(data))
}

func quoted(t *testing.T, text string) []byte {
	t.Helper()
	data, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVaultRekeyFiles(t *testing.T) {
	key := newVaultKey(t, "a", "one")
	text := strings.ReplaceAll(strings.TrimSpace(sealedBy(t, key, "hunter22")), "\n", "\n    ")
	rotated, err := key.Rotate("two")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	pack, other := filepath.Join(folder, "app.pack.yaml"), filepath.Join(folder, "other.yaml")
	for file, content := range map[string]string{pack: "# why\nspec:\n  vars:\n    A: |\n    " + text + "\n    B: x # y\n", other: "a: b\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before := contentOf(t, pack)
	app := newApp(newClient(t, interceptor.Funcs{}, rotated.Secret("base")))
	out, _ := vaultRun(t, app, "", "rekey", "-i", "a", folder)
	after := contentOf(t, pack)
	if !strings.Contains(out, "app.pack.yaml: 1 encrypted again") || before == after || strings.Contains(after, "hunter22") || !strings.HasPrefix(after, "# why\n") || !strings.HasSuffix(after, "\n    B: x # y\n") {
		t.Errorf("%s\n%s", out, after)
	}
	if places := vault.Find([]byte(after)); len(places) != 1 || opened(t, rotated.Forget(), places[0].Text) != "hunter22" {
		t.Errorf("texts: %v", places)
	}
	if out, _ = vaultRun(t, app, "", "rekey", "-i", "a", folder); !strings.Contains(out, "0 texts") || contentOf(t, pack) != after {
		t.Errorf("a second time: %s", out)
	}

	// The same without a cluster.
	old, recent := writeFile(t, "old", "two"), writeFile(t, "new", "three")
	vaultRun(t, &cli.App{}, "", "rekey", "-i", "a", "--old-password-file", old, "--password-file", recent, "-f", pack)
	if places := vault.Find([]byte(contentOf(t, pack))); len(places) != 1 || opened(t, newVaultKey(t, "a", "three"), places[0].Text) != "hunter22" {
		t.Errorf("texts: %v", places)
	}
}

func opened(t *testing.T, key *vault.Key, text string) string {
	t.Helper()
	parsed, err := vault.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	plain, _, err := key.Decrypt(parsed)
	if err != nil {
		return err.Error()
	}
	return string(plain)
}

func TestVaultRekeyOfACluster(t *testing.T) {
	key := newVaultKey(t, "a", "one")
	rotated, err := key.Rotate("two")
	if err != nil {
		t.Fatal(err)
	}
	holder := func(name string, labels map[string]string) *packv1.Pack {
		p := &packv1.Pack{ObjectMeta: named("base", name), Spec: packv1.PackSpec{Vars: map[string]apiextensionsv1.JSON{"A": {Raw: quoted(t, sealedBy(t, key, "hunter22"))}}}}
		p.Labels = labels
		return p
	}
	ours, fromGit := holder("ours", nil), holder("git", map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"})
	config := &packv1.Config{ObjectMeta: named("base", "shared"), Spec: packv1.ConfigSpec{Vars: ours.Spec.Vars}}
	synced := holder("synced", nil)
	sync := &peykv1.PackSync{ObjectMeta: named("base", "repository"), Status: peykv1.PackSyncStatus{Packs: []peykv1.SyncedPack{
		{Name: "synced", State: peykv1.PackSynced}, {Name: "ours", State: peykv1.PackUnmapped},
	}}}
	cluster := newClient(t, interceptor.Funcs{}, rotated.Secret("base"), ours, fromGit, config, synced, sync)
	app := newApp(cluster)
	previous := func() int {
		var secret corev1.Secret
		if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "vault-a"}, &secret); err != nil {
			t.Fatal(err)
		}
		k, err := vault.FromSecret(&secret)
		if err != nil {
			t.Fatal(err)
		}
		return k.Previous()
	}
	text := func(object client.Object) string {
		if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		vars := map[string]apiextensionsv1.JSON{}
		switch object := object.(type) {
		case *packv1.Pack:
			vars = object.Spec.Vars
		case *packv1.Config:
			vars = object.Spec.Vars
		}
		var out string
		if err := json.Unmarshal(vars["A"].Raw, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	out, _ := vaultRun(t, app, "", "rekey", "-i", "a")
	if !strings.Contains(out, "git is applied from Git") || !strings.Contains(out, "synced is applied from Git") || previous() != 1 {
		t.Errorf("%d former passwords:\n%s", previous(), out)
	}
	for object, want := range map[client.Object]string{ours: "hunter22", config: "hunter22", fromGit: vault.ErrWrongKey.Error(), synced: vault.ErrWrongKey.Error()} {
		if got := opened(t, rotated.Forget(), text(object)); got != want {
			t.Errorf("%s with the new password: %q, want %q", object.GetName(), got, want)
		}
	}
	for _, object := range []client.Object{fromGit, synced} {
		if err := cluster.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	if out, _ = vaultRun(t, app, "", "rekey", "-i", "a"); previous() != 0 || !strings.Contains(out, "1 former passwords are forgotten") {
		t.Errorf("%d former passwords:\n%s", previous(), out)
	}
}

func TestVaultFilesOfSOPS(t *testing.T) {
	key, another := sopstest.NewKey(t), sopstest.NewKey(t)
	keyFile, otherFile := writeFile(t, "keys.txt", string(key.Private())), writeFile(t, "other.txt", string(another.Private()))
	plain := "apiVersion: v1\nkind: Secret\nmetadata:\n    name: db\nstringData:\n    password: hunter22\n"
	file := writeFile(t, "secret.yaml", plain)
	app := &cli.App{}
	printed, _ := vaultRun(t, app, "", "encrypt", "-f", file, "--age", key.Recipient(), "--stdout")
	if contentOf(t, file) != plain || !strings.Contains(printed, "ENC[") {
		t.Errorf("--stdout: %s", printed)
	}
	vaultRun(t, app, "", "encrypt", "-f", file, "--age", key.Recipient())
	closed := contentOf(t, file)
	if strings.Contains(closed, "hunter22") || !strings.Contains(closed, "name: db") {
		t.Fatalf("encrypted:\n%s", closed)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode changed: %v, %v", info.Mode(), err)
	}
	if out, _ := vaultRun(t, app, "", "decrypt", "-f", file, "--age-key-file", keyFile); out != plain {
		t.Errorf("decrypted:\n%s", out)
	}
	// This is how a Kustomization reads it.
	keys, err := decrypt.ParseKeys(map[string][]byte{"a.agekey": key.Private()}, decrypt.AllKeys)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := (&decrypt.Opener{Keys: keys}).Manifest([]byte(closed), decrypt.YAML); err != nil || !strings.Contains(string(out), "hunter22") {
		t.Errorf("as a manifest: %v", err)
	}
	out, _ := vaultRun(t, app, "", "rekey", "-f", file, "--age", another.Recipient(), "--age-key-file", keyFile)
	if !strings.Contains(out, "stringData.password") || strings.Contains(out, "hunter22") {
		t.Errorf("rekey says:\n%s", out)
	}
	if out, _ := vaultRun(t, app, "", "decrypt", "-f", file, "--age-key-file", otherFile); out != plain {
		t.Errorf("decrypted by the new recipient:\n%s", out)
	}
	if _, stderr, code := run(t, app, "vault", "decrypt", "-f", file, "--age-key-file", keyFile); code != cli.ExitFailed || strings.Contains(stderr, "hunter22") {
		t.Errorf("the former recipient: exit code %d, %s", code, stderr)
	}
}

func TestVaultScan(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "app.pack.yaml")
	if err := os.WriteFile(file, []byte("spec:\n  values:\n    password: hunter22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := run(t, &cli.App{}, "vault", "scan", folder)
	if code != cli.ExitFailed || !strings.Contains(stdout, "app.pack.yaml:3 spec.values.password: ") || strings.Contains(stdout+stderr, "hunter22") {
		t.Errorf("exit code %d:\n%s%s", code, stdout, stderr)
	}
	stdout, _, code = run(t, &cli.App{}, "vault", "scan", "-o", "json", file)
	var findings []vault.Finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || code != cli.ExitFailed || len(findings) != 1 || findings[0].Line != 3 {
		t.Errorf("exit code %d, %v:\n%s", code, err, stdout)
	}
	if err := os.WriteFile(file, []byte("spec: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, _, code = run(t, &cli.App{}, "vault", "scan", folder); code != cli.ExitOK || !strings.Contains(stdout, "in 1 files") {
		t.Errorf("nothing to find: exit code %d, %s", code, stdout)
	}
}

func TestVaultHelp(t *testing.T) {
	for _, line := range []string{"vault", "vault key", "vault key create", "vault key rotate", "vault key list", "vault key delete", "vault encrypt", "vault decrypt", "vault rekey", "vault scan"} {
		stdout, stderr, code := run(t, newApp(nil), append(strings.Fields(line), "--help")...)
		if code != cli.ExitOK || !strings.Contains(stdout, "Examples:") || !strings.Contains(stdout, "Usage:\n  peyk "+line) {
			t.Errorf("peyk %s --help: exit code %d, %q, %q: want a description, its usage and examples", line, code, stdout, stderr)
		}
	}
}
