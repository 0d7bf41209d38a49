package charts_test

import (
	"syscall"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

// BenchmarkRender renders the first application of the tutorial, chart and schema loaded before. It should take less than
// 10 ms: a cluster has hundreds of Packs.
func BenchmarkRender(b *testing.B) {
	chart, err := loader.LoadDir("simplepack")
	if err != nil {
		b.Fatal(err)
	}
	values := parse(b, read(b, "testdata/simplepack/sample-app/values.yaml"))
	defer reportCPU(b)()
	for b.Loop() {
		options := common.ReleaseOptions{Name: "sample-app", Namespace: namespace, IsInstall: true, Revision: 1}
		ready, err := util.ToRenderValuesWithSchemaValidation(chart, values, options, common.DefaultCapabilities, true)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := engine.Render(chart, ready); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSchema holds the same values against the schema, as Helm does before it renders.
func BenchmarkSchema(b *testing.B) {
	chart, err := loader.LoadDir("simplepack")
	if err != nil {
		b.Fatal(err)
	}
	values := parse(b, read(b, "testdata/simplepack/sample-app/values.yaml"))
	merged, err := util.CoalesceValues(chart, values)
	if err != nil {
		b.Fatal(err)
	}
	defer reportCPU(b)()
	for b.Loop() {
		if err := util.ValidateAgainstSchema(chart, merged); err != nil {
			b.Fatal(err)
		}
	}
}

// reportCPU reports the processor time of each round, which a busy machine does not stretch.
func reportCPU(b *testing.B) func() {
	b.Helper()
	spent := func() time.Duration {
		var usage syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric(float64(spent()-before)/1e6/float64(b.N), "cpu-ms/op") }
}
