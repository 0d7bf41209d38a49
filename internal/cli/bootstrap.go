package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/bootstrap"
	"github.com/peyk/peyk/internal/git"
	"github.com/peyk/peyk/internal/install"
)

// syncNamespace is where Flux's repositories expect the objects that follow them.
const syncNamespace = "flux-system"

// bootstrapFlags are what bootstrap commands are told besides Options.
type bootstrapFlags struct {
	options                     bootstrap.Options
	access                      gitAccess
	tokenAuth, silent, insecure bool
	version, registry, appendix string
	components, extra           []string
	operatorNamespace, secret   string
	authorName, authorEmail     string
	// cluster is asked for the key of an earlier bootstrap.
	cluster client.Client
}

func (a *App) newBootstrap() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "bootstrap", Short: "Put Peyk into a Git repository and let it follow that repository",
		Long:    "Put Peyk into a Git repository, install it into the cluster, and let it follow the repository.",
		Example: "  peyk bootstrap git --url ssh://git@git.example.org/fleet --branch main --path clusters/prod --private-key-file ./key",
	})
	cmd.AddCommand(a.newBootstrapGit())
	return cmd
}

func (a *App) newBootstrapGit() *cobra.Command {
	var f bootstrapFlags
	cmd := &cobra.Command{
		Use: "git", Args: wants(cobra.NoArgs), Short: "Bootstrap from any Git server",
		Long: `Commit Peyk's manifests and the objects that follow the repository to PATH/flux-system, push them, install Peyk, and wait
until the cluster is as the repository says. Repeating it is safe: what is as it should be is left alone, and nothing is
committed twice.

Over SSH the key of --private-key-file pushes to the repository, and the cluster reads with it. Without that flag a new key is
made and printed: add it to the repository as a deploy key that may write. The next bootstrap finds it in the cluster. The
server's own key is asked for at the first time, and trusted from then on.

The repository keeps the layout of Flux: gotk-components.yaml, gotk-sync.yaml and kustomization.yaml, with a GitRepository
and a Kustomization named flux-system in the namespace flux-system. A repository that Flux was bootstrapped from is taken
over: gotk-components.yaml then holds Peyk in place of Flux's controllers, which are stopped first and removed once Peyk
applies the repository; a kustomization.yaml with patches is kept. Peyk itself runs in the namespace peyk-system, as after
'peyk install'.`,
		Example: `  peyk bootstrap git --url ssh://git@git.example.org/fleet --branch main --path clusters/prod --private-key-file ./key

  # with a new deploy key, which is printed to be added to the repository
  peyk bootstrap git --url ssh://git@git.example.org/fleet --ssh-key-algorithm ed25519 --path clusters/prod

  # over HTTPS; the cluster reads the repository with the same credentials
  peyk bootstrap git --url https://git.example.org/fleet --username git --password "$TOKEN" --token-auth --path clusters/prod`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.bootstrap(cmd, f)
		},
	}
	f.flags(cmd)
	return cmd
}

func (f *bootstrapFlags) flags(cmd *cobra.Command) {
	o := &f.options
	flags := cmd.Flags()
	flags.StringVar(&o.URL, "url", "", "address of the repository")
	flags.StringVar(&o.Branch, "branch", "main", "branch to follow")
	flags.StringVar(&o.Path, "path", "", "folder of this cluster in the repository")
	flags.DurationVar(&o.Interval, "interval", time.Minute, "how often the repository is looked at")
	flags.BoolVar(&o.RecurseSubmodules, "recurse-submodules", false, "fetch submodules")
	flags.BoolVar(&o.SparseCheckout, "sparse-checkout", false, "fetch only the folder of this cluster")
	flags.StringVar(&f.secret, "secret-name", syncNamespace, "secret that the credentials are kept in")
	flags.StringVar(&o.Install.Image, "image", "", "image of the operator (default: the one published with this version)")
	flags.StringVarP(&f.version, "version", "v", "", "version of Peyk to install (default: this one)")
	flags.StringVar(&f.registry, "registry", "", "registry and organization of Peyk's image (default: where it is published)")
	flags.StringVar(&f.operatorNamespace, "operator-namespace", install.DefaultNamespace, "namespace that Peyk runs in")
	flags.StringSliceVar(&f.components, "components", nil, "controllers of Flux; Peyk stands in for them")
	flags.StringSliceVar(&f.extra, "components-extra", nil, "more controllers of Flux, such as image-automation-controller; says whether Peyk stands in for them")
	flags.StringVar(&f.authorName, "author-name", "Peyk", "author of the commits")
	flags.StringVar(&f.authorEmail, "author-email", "", "mail address of the author")
	flags.StringVar(&f.appendix, "commit-message-appendix", "", "text at the end of the commit's message, such as [ci skip]")
	flags.BoolVar(&f.tokenAuth, "token-auth", false, "the cluster reads the repository with the user name and password that are given here")
	flags.BoolVarP(&f.silent, "silent", "s", false, "ask nothing")
	flags.BoolVar(&f.insecure, "allow-insecure-http", false, "send credentials over plain HTTP")
	flags.StringVar(&f.access.caFile, "ca-file", "", "file of the authority that signed the server's certificate")
	f.access.flags(flags)
}

// check completes the options and says what is missing.
func (f *bootstrapFlags) check(a *App) (*url.URL, error) {
	o := &f.options
	u, err := gitURL(o.URL)
	if err != nil {
		return nil, err
	}
	switch {
	case u.Scheme == "http" && f.access.password != "" && !f.insecure:
		return nil, usagef("the credentials would be sent unencrypted: use https://, or give --allow-insecure-http")
	}
	known := []string{
		"source-controller", "kustomize-controller", "helm-controller", "notification-controller", "image-reflector-controller",
		"image-automation-controller", "source-watcher",
	}
	for _, name := range append(slices.Clone(f.components), f.extra...) {
		if !slices.Contains(known, name) {
			return nil, usagef("component %q: Flux has %s", name, strings.Join(known, ", "))
		}
	}
	if o.Namespace = a.access.Namespace; o.Namespace == "" {
		o.Namespace = syncNamespace
	}
	o.Install.Namespace = f.operatorNamespace
	if o.Install.Image == "" {
		o.Install.Image = f.image(a.Version)
	}
	o.Author = git.Signature{Name: f.authorName, Email: f.authorEmail}
	o.Message = "Add Peyk " + cmp.Or(f.version, a.Version) + " for " + cmp.Or(o.Path, "./")
	if f.appendix != "" {
		o.Message += "\n\n" + f.appendix
	}
	return u, nil
}

func (f *bootstrapFlags) image(version string) string {
	name := releasedImage
	if f.registry != "" {
		name = strings.TrimSuffix(f.registry, "/") + "/peyk"
	}
	if f.version != "" {
		version = f.version
	}
	if f.registry == "" && !released.MatchString(version) {
		return ""
	}
	return name + ":" + version
}

func (a *App) bootstrap(cmd *cobra.Command, f bootstrapFlags) error {
	u, err := f.check(a)
	if err != nil {
		return err
	}
	components, err := f.options.Components()
	if err != nil {
		return usageError{err}
	}
	cluster, err := a.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.limit)
	defer cancel()
	say := newPrinter(cmd.OutOrStdout(), a.plain)
	if err := sayExtra(say, f.extra); err != nil {
		return err
	}
	f.cluster = cluster.Client
	secret, credentials, err := f.credentials(ctx, cmd, say, u)
	if err != nil {
		return err
	}
	f.options.SecretName = ""
	if secret != nil {
		f.options.SecretName = f.secret
	}
	if err := f.commit(ctx, say, credentials); err != nil {
		return err
	}
	if err := stopFlux(ctx, cluster.Client, say, f.options.Namespace); err != nil {
		return err
	}
	if err := keepDefinitions(ctx, cluster.Client, say); err != nil {
		return err
	}
	installer := &install.Installer{Client: cluster.Client, Progress: say, Poll: a.Poll}
	say.Action("installing components in %q namespace", f.options.Install.Namespace)
	if err := installer.Install(ctx, components); err != nil {
		return err
	}
	say.Success("installed components")
	return a.sync(ctx, cluster, say, f.options, secret)
}

// commit brings the files into the repository.
func (f *bootstrapFlags) commit(ctx context.Context, say *printer, credentials git.Credentials) error {
	say.Action("cloning branch %q from Git repository %q", f.options.Branch, git.Remote{URL: f.options.URL}.Address())
	commit, err := f.options.Commit(ctx, credentials)
	if err != nil {
		return err
	}
	if commit == "" {
		say.Success("component and sync manifests are up to date")
		return nil
	}
	say.Success("committed component and sync manifests to %q (%q)", f.options.Branch, commit)
	return nil
}

// credentials are those to push with, and the secret that the cluster reads with.
func (f *bootstrapFlags) credentials(ctx context.Context, cmd *cobra.Command, say *printer, u *url.URL) (*corev1.Secret, git.Credentials, error) {
	g := f.access
	c := git.Credentials{Username: g.username, Password: g.password}
	if c.Password == "" && u.Scheme != "ssh" {
		c.Password = os.Getenv("GIT_PASSWORD")
		g.password = c.Password
	}
	if g.caFile != "" {
		var err error
		if c.CA, err = os.ReadFile(g.caFile); err != nil {
			return nil, c, fmt.Errorf("reading the authority: %w", err)
		}
	}
	if u.Scheme != "ssh" {
		if c.Password != "" && !f.tokenAuth {
			say.Warning("the cluster reads the repository with the credentials that push to it: give it others in the secret %s if they should only read", f.secret)
		}
		secret, err := g.secret(target{cmd: cmd, say: say, name: f.secret, namespace: f.options.Namespace}, u)
		return secret, c, err
	}
	secret, err := f.deployKey(ctx, cmd, say, u)
	if err != nil {
		return nil, c, err
	}
	c = git.Credentials{SSHKey: []byte(secret.StringData["identity"]), KnownHosts: []byte(secret.StringData["known_hosts"]), SSHPassphrase: []byte(secret.StringData["password"])}
	return secret, c, ctx.Err()
}

// deployKey is the secret with the key that is pushed and read with: that of the file, the one that an earlier bootstrap left
// in the cluster, or a new one, which the user is asked to add to the repository.
func (f *bootstrapFlags) deployKey(ctx context.Context, cmd *cobra.Command, say *printer, u *url.URL) (*corev1.Secret, error) {
	at := target{cmd: cmd, say: say, name: f.secret, namespace: f.options.Namespace}
	g := f.access
	g.silent = f.silent
	live := &corev1.Secret{}
	err := f.cluster.Get(ctx, client.ObjectKey{Namespace: at.namespace, Name: at.name}, live)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the secret %s: %w", at.name, err)
	}
	kept, err := g.keeps(live, u)
	if err != nil {
		return nil, err
	}
	if !kept {
		g.writes = true
		return g.secret(at, u)
	}
	say.Success("using the deploy key in the secret %s/%s", at.namespace, at.name)
	data := map[string]string{}
	for name, value := range live.Data {
		data[name] = string(value)
	}
	return newSecret(at, data), nil
}

// keeps says whether a secret has the key that is to be used, and knows the server.
func (g *gitAccess) keeps(live *corev1.Secret, u *url.URL) (bool, error) {
	identity := live.Data["identity"]
	if len(identity) == 0 || !bytes.Contains(live.Data["known_hosts"], []byte(u.Hostname())) {
		return false, nil
	}
	if g.keyFile == "" {
		return true, nil
	}
	wanted, err := os.ReadFile(g.keyFile)
	if err != nil {
		return false, fmt.Errorf("reading the private key: %w", err)
	}
	return bytes.Equal(wanted, identity), nil
}

// sync applies what follows the repository, and waits until the cluster is as the repository says.
func (a *App) sync(ctx context.Context, cluster *Cluster, say *printer, o bootstrap.Options, secret *corev1.Secret) error {
	if secret != nil {
		say.Action("determining if source secret \"%s/%s\" exists", o.Namespace, secret.Name)
		if _, err := upsert(ctx, cluster.Client, secret); err != nil {
			return err
		}
		say.Success("reconciled source secret")
	}
	objects, err := o.Sync()
	if err != nil {
		return err
	}
	say.Action("applying sync manifests")
	for _, object := range objects {
		if err := applySync(ctx, cluster.Client, object); err != nil {
			return err
		}
	}
	say.Success("reconciled sync configuration")
	r := &requester{client: cluster.Client, say: say, poll: a.poll(), demands: demands{source: true}}
	if err := r.reconcile(ctx, kustomizations(), client.ObjectKey{Namespace: o.Namespace, Name: o.Namespace}); err != nil {
		return err
	}
	say.Success("bootstrap finished")
	return nil
}

func applySync(ctx context.Context, c client.Client, object *unstructured.Unstructured) error {
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("kustomize-controller"), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}
