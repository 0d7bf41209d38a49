package notify

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what became of notifications.
type metrics struct{ total *prometheus.CounterVec }

func newMetrics(registry prometheus.Registerer, q *queue) (*metrics, error) {
	m := &metrics{total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "peyk_notifications_total",
		Help: "Notifications by the type of their Provider and what became of them.",
	}, []string{"type", "result"})}
	if registry == nil {
		return m, nil
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "peyk_notifications_waiting",
		Help: "Notifications that wait to be sent.",
	}, func() float64 { return float64(q.size()) })
	for _, c := range []prometheus.Collector{m.total, waiting} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of notifications: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(kind, result string) { m.add(kind, result, 1) }

func (m *metrics) add(kind, result string, n int) {
	m.total.WithLabelValues(kind, result).Add(float64(n))
}
