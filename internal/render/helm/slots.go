package helm

import "runtime"

// slots bound how many actions render and apply at the same time. Actions that wait for objects hold none.
type slots chan struct{}

func newSlots() slots { return make(slots, max(4, 2*runtime.GOMAXPROCS(0))) }

func (s slots) acquire() {
	if s != nil {
		s <- struct{}{}
	}
}

func (s slots) release() {
	if s != nil {
		<-s
	}
}
