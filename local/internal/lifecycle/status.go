package lifecycle

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/process"
	"github.com/peyk/peyk/local/internal/supervisor"
)

// Status describes a cluster.
type Status struct {
	Name       string `json:"name"`
	Running    bool   `json:"running"`
	Ready      bool   `json:"ready"`
	StateDir   string `json:"stateDir"`
	Kubernetes string `json:"kubernetes"`
	Kubeconfig string `json:"kubeconfig"`
	Context    string `json:"context"`
	// URLs are the addresses on the host; Inside are those that pods use.
	URLs   URLs           `json:"urls"`
	Inside *URLs          `json:"inside,omitempty"`
	Nodes  []cluster.Node `json:"nodes,omitempty"`
	// GitTokenFile holds the administrator's token of the Git server.
	GitTokenFile string `json:"gitTokenFile,omitempty"`
	// S3CredentialsFile holds the credentials of the object store.
	S3CredentialsFile string         `json:"s3CredentialsFile,omitempty"`
	Processes         []process.Info `json:"processes,omitempty"`
	Steps             []cluster.Step `json:"steps,omitempty"`
	// Error is why the last start was given up.
	Error string `json:"error,omitempty"`
}

// URLs are where a cluster's services are reached.
type URLs struct {
	API      string `json:"api"`
	Git      string `json:"git,omitempty"`
	Registry string `json:"registry,omitempty"`
	S3       string `json:"s3,omitempty"`
	HTTP     string `json:"http,omitempty"`
	HTTPS    string `json:"https,omitempty"`
}

// Describe returns the status of a cluster, or cluster.ErrNoCluster.
func Describe(dir cluster.Dir) (Status, error) {
	spec, err := dir.Load()
	if err != nil {
		return Status{}, err
	}
	s := Status{
		Name:       spec.Name,
		StateDir:   string(dir),
		Kubernetes: cluster.KubernetesVersion,
		Kubeconfig: dir.Kubeconfig(),
		Context:    supervisor.ContextName(spec.Name),
		URLs:       URLs{API: fmt.Sprintf("https://127.0.0.1:%d", spec.Ports.API)},
		Nodes:      spec.NodeList(),
	}
	if !spec.ControlPlaneOnly {
		s.GitTokenFile = dir.GitTokenFile()
		s.addServices(spec.Ports)
	}
	if spec.ServesS3() {
		s.S3CredentialsFile = dir.S3CredentialsFile()
		s.URLs.S3 = fmt.Sprintf("http://127.0.0.1:%d", spec.Ports.S3)
		s.Inside.S3 = "http://s3.peyk-local.svc"
	}
	if s.Running, err = dir.Alive(); err != nil {
		return s, err
	}
	// There is no record before the first start, and a broken one says nothing.
	if boot, err := dir.LoadBoot(); err == nil {
		s.Steps, s.Error = boot.Steps, boot.Error
		s.Ready = s.Running && boot.Ready
	}
	if s.Processes, err = process.Find(dir); err != nil {
		return s, err
	}
	slices.SortFunc(s.Processes, func(a, b process.Info) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.PID, b.PID))
	})
	return s, nil
}

func (s *Status) addServices(p cluster.Ports) {
	s.URLs.Git = fmt.Sprintf("http://127.0.0.1:%d", p.Git)
	s.URLs.Registry = fmt.Sprintf("127.0.0.1:%d", p.Registry)
	s.URLs.HTTP = withoutDefault("http://*.localhost", p.HTTP, 80)
	s.URLs.HTTPS = withoutDefault("https://*.localhost", p.HTTPS, 443)
	s.Inside = &URLs{
		API:      "https://kubernetes.default.svc",
		Git:      "http://git.peyk-local.svc",
		Registry: "registry.peyk-local.svc",
		HTTP:     "http://edge.peyk-local.svc",
		HTTPS:    "https://edge.peyk-local.svc",
	}
}

func withoutDefault(url string, port, usual int) string {
	if port == usual {
		return url
	}
	return fmt.Sprintf("%s:%d", url, port)
}
