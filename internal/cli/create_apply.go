package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// application are the flags that Kustomizations and HelmReleases share.
type application struct {
	source, account, targetNamespace, kubeconfig string
	dependsOn                                    []string
}

func (p *application) flags(cmd *cobra.Command, source string) {
	flags := cmd.Flags()
	flags.StringVar(&p.source, "source", "", source)
	flags.StringVar(&p.account, "service-account", "", "service account that applies it (default: that of Peyk)")
	flags.StringVar(&p.targetNamespace, "target-namespace", "", "namespace that its objects are put into")
	flags.StringVar(&p.kubeconfig, "kubeconfig-secret-ref", "", "secret with the kubeconfig of another cluster that it is applied to")
	flags.StringSliceVar(&p.dependsOn, "depends-on", nil, "what must be ready first, as name or namespace/name")
}

func (p *application) remote() *meta.KubeConfigReference {
	if p.kubeconfig == "" {
		return nil
	}
	return &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: p.kubeconfig}}
}

func (c *creation) newKustomization() *cobra.Command {
	var p application
	spec := ksv1.KustomizationSpec{}
	var checks []string
	var timeout, retry time.Duration
	var decryption, key string
	cmd := c.command(kustomizations(), `  peyk create kustomization app --source GitRepository/app --path ./deploy --prune --wait`, func(t target) (draft, error) {
		of, name, namespace, err := parseReference(p.source, sourcev1.GitRepositoryKind)
		if err != nil {
			return draft{}, fmt.Errorf("--source: %w", err)
		}
		if !strings.HasPrefix(spec.Path, "./") {
			return draft{}, usagef("path %q: it is relative to the source and begins with ./", spec.Path)
		}
		spec.Interval = metav1.Duration{Duration: c.interval}
		spec.SourceRef = ksv1.CrossNamespaceSourceReference{Kind: of, Name: name, Namespace: namespace}
		spec.TargetNamespace, spec.ServiceAccountName, spec.KubeConfig = p.targetNamespace, p.account, p.remote()
		for _, d := range p.dependencies() {
			spec.DependsOn = append(spec.DependsOn, ksv1.DependencyReference{Name: d[1], Namespace: d[0]})
		}
		if spec.HealthChecks, err = healthChecks(checks); err != nil {
			return draft{}, err
		}
		if spec.Wait {
			spec.HealthChecks = nil
		}
		if spec.Wait || len(checks) > 0 {
			spec.Timeout = &metav1.Duration{Duration: timeout}
		}
		if retry > 0 {
			spec.RetryInterval = &metav1.Duration{Duration: retry}
		}
		if decryption != "" {
			spec.Decryption = &ksv1.Decryption{Provider: decryption, SecretRef: secretRef(key)}
		}
		return draft{object: &ksv1.Kustomization{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	p.flags(cmd, "source as [GitRepository|OCIRepository|Bucket|ExternalArtifact/]name[.namespace]")
	flags := cmd.Flags()
	flags.StringVar(&spec.Path, "path", "./", "folder of the source")
	flags.BoolVar(&spec.Prune, "prune", false, "delete what left the source")
	flags.BoolVar(&spec.Wait, "wait", false, "it is ready when everything in it is")
	flags.StringSliceVar(&checks, "health-check", nil, "workload that must be ready, as Kind/name.namespace")
	flags.DurationVar(&timeout, "health-check-timeout", 2*time.Minute, "how long to wait for health")
	flags.DurationVar(&retry, "retry-interval", 0, "how long to wait after a failure (default: the interval)")
	flags.StringVar(&decryption, "decryption-provider", "", "how secrets in the source are encrypted: sops")
	flags.StringVar(&key, "decryption-secret", "", "secret with the keys for decryption")
	return cmd
}

// dependencies are pairs of namespace, which may be empty, and name.
func (p *application) dependencies() [][2]string {
	var all [][2]string
	for _, d := range p.dependsOn {
		namespace, name, found := strings.Cut(d, "/")
		if !found {
			namespace, name = "", d
		}
		all = append(all, [2]string{namespace, name})
	}
	return all
}

func healthChecks(checks []string) ([]meta.NamespacedObjectKindReference, error) {
	var all []meta.NamespacedObjectKindReference
	versions := map[string]string{
		"Deployment": "apps/v1", "DaemonSet": "apps/v1", "StatefulSet": "apps/v1", helmv2.HelmReleaseKind: helmv2.GroupVersion.String(),
	}
	for _, check := range checks {
		of, name, namespace, err := parseReference(check, "")
		version, known := versions[of]
		if err != nil || namespace == "" || !known {
			return nil, usagef("health check %q: write Kind/name.namespace with one of Deployment, DaemonSet, StatefulSet, HelmRelease", check)
		}
		all = append(all, meta.NamespacedObjectKindReference{APIVersion: version, Kind: of, Name: name, Namespace: namespace})
	}
	return all, nil
}

// releaseFlags are those of a HelmRelease.
type releaseFlags struct {
	application
	chart, version, chartRef, strategy, crds string
	chartInterval                            time.Duration
	createNamespace                          bool
	valuesFiles, valuesFrom                  []string
}

func (c *creation) newHelmRelease() *cobra.Command {
	var f releaseFlags
	spec := helmv2.HelmReleaseSpec{}
	cmd := c.command(helmReleases(), `  peyk create helmrelease podinfo --source HelmRepository/podinfo --chart podinfo --chart-version '>6.0.0'`, func(t target) (draft, error) {
		if err := f.fill(&spec); err != nil {
			return draft{}, err
		}
		spec.Interval = metav1.Duration{Duration: c.interval}
		if spec.StorageNamespace == "" {
			spec.StorageNamespace = spec.TargetNamespace
		}
		return draft{object: &helmv2.HelmRelease{ObjectMeta: t.meta(), Spec: spec}}, nil
	})
	f.flags(cmd, "source of the chart as [HelmRepository|GitRepository|Bucket/]name[.namespace]")
	flags := cmd.Flags()
	flags.StringVar(&spec.ReleaseName, "release-name", "", "name of the release (default: [target namespace-]name)")
	flags.StringVar(&spec.StorageNamespace, "storage-namespace", "", "namespace that Helm keeps the release in (default: the target namespace)")
	flags.StringVar(&f.chart, "chart", "", "name of the chart, or its path in a Git repository or bucket")
	flags.StringVar(&f.version, "chart-version", "", "version of the chart, or a range of versions")
	flags.StringVar(&f.chartRef, "chart-ref", "", "chart as HelmChart/name[.namespace] or OCIRepository/name[.namespace], in place of --source and --chart")
	flags.StringVar(&f.strategy, "reconcile-strategy", "ChartVersion", "when there is a new chart: ChartVersion or Revision")
	flags.DurationVar(&f.chartInterval, "chart-interval", 0, "how often to look for new versions (default: the interval)")
	flags.BoolVar(&f.createNamespace, "create-target-namespace", false, "create the target namespace if it is missing")
	flags.StringVar(&f.crds, "crds", "", "what upgrades do with the chart's definitions: Skip, Create or CreateReplace")
	flags.StringSliceVar(&f.valuesFiles, "values", nil, "file of values (several: later ones win)")
	flags.StringSliceVar(&f.valuesFrom, "values-from", nil, "values in the cluster, as Secret/name or ConfigMap/name")
	return cmd
}

func (f *releaseFlags) fill(spec *helmv2.HelmReleaseSpec) error {
	spec.TargetNamespace, spec.ServiceAccountName, spec.KubeConfig = f.targetNamespace, f.account, f.remote()
	for _, d := range f.dependencies() {
		spec.DependsOn = append(spec.DependsOn, helmv2.DependencyReference{Name: d[1], Namespace: d[0]})
	}
	if err := f.fillChart(spec); err != nil {
		return err
	}
	if f.createNamespace || f.crds != "" {
		spec.Install = &helmv2.Install{CreateNamespace: f.createNamespace}
	}
	if f.crds != "" {
		if !slices.Contains([]string{"Skip", "Create", "CreateReplace"}, f.crds) {
			return usagef("crds %q: choose one of Skip, Create, CreateReplace", f.crds)
		}
		spec.Install.CRDs, spec.Upgrade = helmv2.Create, &helmv2.Upgrade{CRDs: helmv2.CRDsPolicy(f.crds)}
	}
	for _, from := range f.valuesFrom {
		of, name, _, err := parseReference(from, "")
		if err != nil || of != "Secret" && of != "ConfigMap" {
			return usagef("values %q: write Secret/name or ConfigMap/name", from)
		}
		spec.ValuesFrom = append(spec.ValuesFrom, meta.ValuesReference{Kind: of, Name: name})
	}
	values, err := readValues(f.valuesFiles)
	spec.Values = values
	return err
}

func (f *releaseFlags) fillChart(spec *helmv2.HelmReleaseSpec) error {
	switch {
	case (f.chart == "") == (f.chartRef == ""):
		return usagef("give either --chart with --source, or --chart-ref")
	case f.chartRef != "":
		of, name, namespace, err := parseReference(f.chartRef, "")
		if err != nil || of != sourcev1.HelmChartKind && of != sourcev1.OCIRepositoryKind {
			return usagef("chart %q: write HelmChart/name or OCIRepository/name", f.chartRef)
		}
		spec.ChartRef = &helmv2.CrossNamespaceSourceReference{Kind: of, Name: name, Namespace: namespace}
		return nil
	}
	of, name, namespace, err := parseReference(f.source, sourcev1.HelmRepositoryKind)
	if err != nil {
		return fmt.Errorf("--source: %w", err)
	}
	if f.strategy != "ChartVersion" && f.strategy != "Revision" {
		return usagef("reconcile strategy %q: choose ChartVersion or Revision", f.strategy)
	}
	spec.Chart = &helmv2.HelmChartTemplate{Spec: helmv2.HelmChartTemplateSpec{
		Chart: f.chart, Version: f.version, ReconcileStrategy: f.strategy,
		SourceRef: helmv2.CrossNamespaceObjectReference{Kind: of, Name: name, Namespace: namespace},
	}}
	if f.chartInterval > 0 {
		spec.Chart.Spec.Interval = &metav1.Duration{Duration: f.chartInterval}
	}
	return nil
}

// readValues merges files of values, of which later ones win.
func readValues(files []string) (*apiextensionsv1.JSON, error) {
	if len(files) == 0 {
		return nil, nil
	}
	values := map[string]any{}
	for _, file := range files {
		data, err := os.ReadFile(file) //nolint:gosec // the user names it
		if err != nil {
			return nil, fmt.Errorf("reading values: %w", err)
		}
		var more map[string]any
		if err := yaml.Unmarshal(data, &more); err != nil {
			return nil, fmt.Errorf("reading values from %s: %w", file, err)
		}
		mergeValues(values, more)
	}
	data, err := json.Marshal(values)
	return &apiextensionsv1.JSON{Raw: data}, err
}

func mergeValues(into, from map[string]any) {
	for name, value := range from {
		inner, isMap := value.(map[string]any)
		existing, wasMap := into[name].(map[string]any)
		if isMap && wasMap {
			mergeValues(existing, inner)
			continue
		}
		into[name] = value
	}
}
