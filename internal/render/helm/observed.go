package helm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sort"
	"time"

	goyaml "go.yaml.in/yaml/v2"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	release "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/yaml"
)

// Observed is a revision of a release as it was written to its storage, or read from there.
type Observed struct {
	Namespace, Name string
	Revision        int
	// Status is Helm's, such as deployed.
	Status string
	// Chart, ChartVersion and AppVersion are the chart's.
	Chart, ChartVersion, AppVersion string
	// ConfigDigest identifies the values.
	ConfigDigest string
	// FirstDeployed, LastDeployed and Deleted are when that was; zero when never.
	FirstDeployed, LastDeployed, Deleted time.Time
	// Tests are the hooks that test the release, by name.
	Tests map[string]Test
	// Record is the name of the Secret, and ResourceVersion its version. Empty for a storage that is none of Secrets.
	Record, ResourceVersion string
	// Owner is who the revision was made for; empty when it was made by somebody else than Peyk.
	Owner string

	manifest string
	body     []byte
}

// Test is a hook that tests a release.
type Test struct {
	Started, Completed time.Time
	// Phase is Helm's: Unknown, Running, Succeeded or Failed.
	Phase string
}

// Strip drops what only Digest and Engine.ObjectsOf need, which is most of it.
func (o *Observed) Strip() { o.manifest, o.body = "", nil }

// Digest identifies everything about the revision, as helm-controller computes it: history of HelmReleases that Flux
// wrote is understood, and the other way round. ociDigest is of the artifact that the chart came in; it may be empty.
func (o Observed) Digest(ociDigest string) string {
	h := sha256.New()
	if ociDigest == "" {
		h.Write(o.body)
	} else {
		digest, _ := json.Marshal(ociDigest) // a string always encodes
		h.Write(bytes.TrimSuffix(o.body, []byte("}\n")))
		h.Write([]byte(`,"ociDigest":`))
		h.Write(digest)
		h.Write([]byte("}\n"))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// digested is what the digest is of. Names and order of the fields are the contract.
type digested struct {
	Name      string         `json:"name"`
	Version   int            `json:"version"`
	Info      release.Info   `json:"info"`
	Chart     chart.Metadata `json:"chartMetadata"`
	Config    map[string]any `json:"config"`
	Manifest  string         `json:"manifest"`
	Hooks     []release.Hook `json:"hooks"`
	Namespace string         `json:"namespace"`
}

// observe takes down a revision as it is now: Helm goes on changing it.
func observe(r *release.Release, records *records) Observed {
	o := Observed{
		Namespace: r.Namespace, Name: r.Name, Revision: r.Version, Record: recordName(r.Name, r.Version), ConfigDigest: ConfigDigest(r.Config),
		Tests: map[string]Test{}, manifest: r.Manifest,
	}
	d := digested{Name: r.Name, Version: r.Version, Manifest: r.Manifest, Namespace: r.Namespace}
	if len(r.Config) > 0 {
		d.Config = r.Config
	}
	if r.Info != nil {
		d.Info = *r.Info
		o.Status = r.Info.Status.String()
		o.FirstDeployed, o.LastDeployed, o.Deleted = r.Info.FirstDeployed, r.Info.LastDeployed, r.Info.Deleted
	}
	if r.Chart != nil && r.Chart.Metadata != nil {
		d.Chart = *r.Chart.Metadata
		o.Chart, o.ChartVersion, o.AppVersion = d.Chart.Name, d.Chart.Version, d.Chart.AppVersion
	}
	for _, h := range r.Hooks {
		if !slices.Contains(h.Events, release.HookTest) {
			d.Hooks = append(d.Hooks, *h)
			continue
		}
		o.Tests[h.Name] = Test{Started: h.LastRun.StartedAt, Completed: h.LastRun.CompletedAt, Phase: h.LastRun.Phase.String()}
	}
	var body bytes.Buffer
	// A release that was written to its storage encodes.
	_ = json.NewEncoder(&body).Encode(d)
	o.body = body.Bytes()
	if records != nil {
		o.ResourceVersion, o.Owner = records.version(o.Record)
	}
	return o
}

// ConfigDigest identifies values, as helm-controller computes it: of their YAML with sorted keys.
func ConfigDigest(values map[string]any) string {
	h := sha256.New()
	if len(values) > 0 {
		ordered := yaml.JSONObjectToYAMLObject(values)
		sortKeys(ordered)
		_ = goyaml.NewEncoder(h).Encode(ordered) // what came from YAML or JSON encodes
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

func sortKeys(value any) {
	switch v := value.(type) {
	case goyaml.MapSlice:
		sort.Slice(v, func(i, j int) bool {
			a, _ := v[i].Key.(string)
			b, _ := v[j].Key.(string)
			return a < b
		})
		for _, item := range v {
			sortKeys(item.Value)
		}
	case []any:
		for _, item := range v {
			sortKeys(item)
		}
	}
}
