// Package ci writes the pipelines that build an application's image and tell Peyk to deploy it, for GitLab and GitHub.
package ci

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

// The platforms that pipelines are written for.
const (
	GitLab = "gitlab"
	GitHub = "github"
)

//go:embed templates
var files embed.FS

// Options say how the pipeline is to be.
type Options struct {
	// Platform is GitLab or GitHub.
	Platform string
	// Pack that is deployed, as namespace/name. Empty: the comments name none.
	Pack string
	// Registry of the image, such as registry.example.org. Empty: the pipeline's variables say it.
	Registry string
	// Dockerfile of the image.
	Dockerfile string
	// Auto deploys each commit to the main branch; otherwise somebody starts it.
	Auto bool
	// Minimal writes no more than build and deploy.
	Minimal bool
	// Test is what tests the application. Nil: there is no such job.
	Test *Toolchain
}

// File is where the platform looks for the pipeline, in the root of the repository.
func (o Options) File() string {
	if o.Platform == GitHub {
		return ".github/workflows/main.yaml"
	}
	return ".gitlab-ci.yml"
}

// Render returns the pipeline.
func Render(o Options) ([]byte, error) {
	name := "templates/" + o.Platform + ".yaml.tmpl"
	if o.Minimal {
		name = "templates/" + o.Platform + "-minimal.yaml.tmpl"
	}
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("there are no pipelines for %q; choose %s or %s", o.Platform, GitLab, GitHub)
	}
	// Both platforms use braces themselves.
	parsed, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, o); err != nil {
		return nil, fmt.Errorf("writing the pipeline: %w", err)
	}
	return out.Bytes(), nil
}

// Variable is one that has to be set on the platform.
type Variable struct {
	// Name of the variable.
	Name string
	// Secret says that the platform must not show it.
	Secret bool
	// Value says where its value comes from.
	Value string
}

// Variables returns what has to be set, in the order in which to do it.
func Variables(o Options) []Variable {
	pack := o.Pack
	if pack == "" {
		pack = "NAMESPACE/NAME"
	}
	all := []Variable{
		{"KUBIT_WEBHOOK_URL", false, "the address that `peyk pack token` prints for the Pack " + pack},
		{"KUBIT_WEBHOOK_TOKEN", true, "the token that it prints with it, once"},
	}
	if o.Registry == "" {
		all = append(all, Variable{"CI_REGISTRY_URL", false, "the registry, such as registry.example.org; not needed for " + ownRegistry(o.Platform)})
	}
	return append(all,
		Variable{"CI_REGISTRY_USERNAME", o.Platform == GitHub, "user of the registry; not needed for " + ownRegistry(o.Platform)},
		Variable{"CI_REGISTRY_PASSWORD", true, "password or token of the registry; not needed for " + ownRegistry(o.Platform)},
	)
}

func ownRegistry(platform string) string {
	if platform == GitHub {
		return "GitHub's own (ghcr.io)"
	}
	return "GitLab's own, which sets CI_REGISTRY, CI_REGISTRY_USER and CI_REGISTRY_PASSWORD"
}

// Place is where variables are set on the platform.
func Place(o Options) string {
	if o.Platform == GitHub {
		return "Settings > Secrets and variables > Actions: as secrets what is marked so, the rest as variables"
	}
	return "Settings > CI/CD > Variables: what is marked secret as masked, all as protected when the branch is"
}
