package admission

import (
	"net/url"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
)

// vars checks those of a Config. What they refer to may be defined elsewhere, so that is for each Pack to say.
func vars(all map[string]apiextensionsv1.JSON) (v Verdict) {
	for _, err := range pack.ValidateVars(all) {
		v.Problems = append(v.Problems, err.Error())
	}
	return v
}

func selector(path string, s *metav1.LabelSelector) Verdict {
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		return problemf("%s: %v", path, err)
	}
	return Verdict{}
}

// repository checks what the definition of the kind cannot.
func repository(spec *packv1.PackRepositorySpec, builtin []string) Verdict {
	u, err := url.Parse(spec.URL)
	if err != nil {
		return problemf("spec.url: it is no URL: write it as https://charts.example.org/stable")
	}
	var v Verdict
	if u.Host == "" {
		v = join(v, problemf("spec.url: it names no host"))
	}
	if _, secret := u.User.Password(); secret {
		v = join(v, problemf("spec.url: it holds a password, which everybody who reads the object sees: put username and password into a Secret and name it in spec.secretRef"))
	}
	switch {
	case u.Scheme == "builtin" && !slices.Contains(builtin, u.Host):
		v = join(v, problemf("spec.url: there are no built-in charts %q: choose one of %s", u.Host, strings.Join(builtin, ", ")))
	case u.Scheme == "ssh" && spec.Git == nil:
		v = join(v, problemf("spec.url: ssh:// is for Git repositories: add spec.git"))
	case spec.Git != nil && u.Scheme != "ssh" && u.Scheme != "https" && u.Scheme != "http":
		v = join(v, problemf("spec.git: a Git repository has a URL of http://, https:// or ssh://"))
	}
	if spec.Verify != nil {
		v = join(v, verification(spec, u.Scheme))
	}
	if spec.Interval != nil && spec.Interval.Duration <= 0 {
		v = join(v, problemf("spec.interval: must be more than nothing"))
	}
	return v
}

func verification(spec *packv1.PackRepositorySpec, scheme string) Verdict {
	switch oci := scheme == "oci"; {
	case spec.Git != nil || scheme == "builtin":
		return problemf("spec.verify: charts of a Git repository and built-in ones have no signatures: take spec.verify out")
	case spec.Verify.Provider == "cosign" && !oci:
		return problemf("spec.verify.provider: cosign signs charts in registries, of an oci:// URL: use pgp")
	case spec.Verify.Provider == "pgp" && oci:
		return problemf("spec.verify.provider: charts in a registry are signed with cosign: use cosign")
	}
	return Verdict{}
}

func reflector(r *packv1.SecretReflector) Verdict {
	targets := r.Spec.Targets
	v := selector("spec.targets.namespaceSelector", targets.NamespaceSelector)
	if len(targets.Namespaces) == 0 && targets.NamespaceSelector == nil {
		v = join(v, problemf("spec.targets: names no namespace: give namespaces, or a namespaceSelector"))
	}
	if slices.Contains(targets.Namespaces, r.Namespace) && (r.Spec.TargetName == "" || r.Spec.TargetName == r.Spec.SecretRef.Name) {
		v = join(v, problemf("spec.targets.namespaces: %s is where the Secret itself is: take it out, or give the copy another name in spec.targetName", r.Namespace))
	}
	return v
}
