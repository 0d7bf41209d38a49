package reconcile

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Metrics are the metrics of every reconciled object, with the names that dashboards for Flux expect.
type Metrics struct {
	duration  *prometheus.HistogramVec
	condition *prometheus.GaugeVec
}

// NewMetrics registers the metrics with registry. It returns an error when they are registered already.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gotk_reconcile_duration_seconds",
			Help:    "How long one pass over an object took, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"kind", "namespace", "name"}),
		condition: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gotk_reconcile_condition",
			Help: "1 for the present status of an object's Ready condition, 0 for the others.",
		}, []string{"kind", "namespace", "name", "type", "status"}),
	}
	for _, c := range []prometheus.Collector{m.duration, m.condition} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) observe(kind string, obj Object, took time.Duration) {
	if m == nil {
		return
	}
	m.duration.WithLabelValues(kind, obj.GetNamespace(), obj.GetName()).Observe(took.Seconds())
	is := ready(obj).status
	for _, s := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
		value := 0.0
		if s == is {
			value = 1
		}
		m.condition.WithLabelValues(kind, obj.GetNamespace(), obj.GetName(), Ready, string(s)).Set(value)
	}
}

func (m *Metrics) forget(kind string, obj Object) {
	if m == nil {
		return
	}
	labels := prometheus.Labels{"kind": kind, "namespace": obj.GetNamespace(), "name": obj.GetName()}
	m.duration.DeletePartialMatch(labels)
	m.condition.DeletePartialMatch(labels)
}
