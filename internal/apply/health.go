package apply

import (
	"fmt"
	"slices"
	"strings"
)

// HealthReport says how the objects of an owner are, by the rules of kstatus.
type HealthReport struct {
	// Ready says that every object is current.
	Ready bool
	// Failed says that at least one object has failed and will not mend by itself.
	Failed bool
	// Waiting are the objects that are not current, each with its reason, sorted.
	Waiting []string
}

// Message sums the report up in one line.
func (h HealthReport) Message() string {
	const most = 5
	if len(h.Waiting) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(h.Waiting[:most], "; "), len(h.Waiting)-most)
	}
	return strings.Join(h.Waiting, "; ")
}

// Health reports on the objects that were applied for owner and that pick lets through; a nil pick lets all through.
// It makes no call: watches keep it up to date.
func (e *Engine) Health(owner Owner, pick func(ObjectID) bool) HealthReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	report := HealthReport{}
	for id, t := range e.stateOf(owner).objects {
		if pick != nil && !pick(id) {
			continue
		}
		l, ok := e.live[liveKey{owner.Kind, id}]
		switch {
		case t.done:
		case !ok:
			report.Waiting = append(report.Waiting, id.String()+": not found")
		case l.health == HealthCurrent:
		default:
			report.Failed = report.Failed || l.health == HealthFailed
			report.Waiting = append(report.Waiting, fmt.Sprintf("%s: %s", id, describeHealth(l)))
		}
	}
	slices.Sort(report.Waiting)
	report.Ready = len(report.Waiting) == 0
	return report
}

func describeHealth(l live) string {
	if l.message == "" {
		return string(l.health)
	}
	return string(l.health) + ", " + l.message
}
