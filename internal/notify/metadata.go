package notify

import (
	"maps"
	"slices"
	"strings"

	"github.com/fluxcd/notification-controller/api/v1beta3"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/reconcile"
)

// combine returns the event as the Alert's Provider gets it: the keys lose their prefixes and the Alert adds its own.
// What the controller says wins over the Alert's summary, that over its metadata, and that over the object's annotations.
// It also returns the keys that several of them had something to say about.
func combine(e event.Event, alert *v1beta3.Alert) (event.Event, []string) {
	layers := []map[string]string{
		stripped(e.Metadata, event.Annotations), alert.Spec.EventMetadata, nil, stripped(e.Metadata, e.Group()+"/"),
	}
	if alert.Spec.Summary != "" {
		layers[2] = map[string]string{event.Summary: alert.Spec.Summary}
	}
	delete(layers[3], reconcile.MetaToken)
	combined, conflicts := map[string]string{}, map[string]bool{}
	for _, layer := range layers {
		for key, value := range layer {
			if _, there := combined[key]; there {
				conflicts[key] = true
			}
			combined[key] = value
		}
	}
	e.Metadata = combined
	return e, slices.Sorted(maps.Keys(conflicts))
}

func stripped(metadata map[string]string, prefix string) map[string]string {
	layer := map[string]string{}
	for key, value := range metadata {
		if short, ok := strings.CutPrefix(key, prefix); ok {
			layer[short] = value
		}
	}
	return layer
}
