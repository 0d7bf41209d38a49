package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// floors are what a bare client took for the same objects.
type floors struct {
	install, upgrade               []*measurement // applied
	checkedInstall, checkedUpgrade []*measurement // each one dry-run first, then applied
}

// floorSpaces is how many namespaces a floor spreads its objects over.
const floorSpaces = 100

func (r *round) floorSpace(floor string, i int) string { return space("floor-"+floor, i%floorSpaces) }

// floorNames are the floors of a round: before and after the operator's turn, without and with the check.
var floorNames = []string{"before", "before-checked", "after", "after-checked"}

func (r *round) firstFloor(ctx context.Context) error { return r.floor(ctx, "before") }

// floor applies the objects of all applications with a bare client, in the first version and then in the second.
func (r *round) floor(ctx context.Context, when string) error {
	if !r.o.wants("a", "b", "g", "p") {
		return nil
	}
	f := &r.floors
	for _, part := range []struct {
		name    string
		version string
		check   bool
		add     *[]*measurement
	}{
		{when, "v1", false, &f.install},
		{when, "v2", false, &f.upgrade},
		{when + "-checked", "v1", true, &f.checkedInstall},
		{when + "-checked", "v2", true, &f.checkedUpgrade},
	} {
		objects, err := r.floorObjects(part.name, part.version)
		if err != nil {
			return err
		}
		m, err := r.measure(ctx, fmt.Sprintf("floor %s %s", part.name, part.version), func(ctx context.Context) (outcome, error) {
			return r.applyBare(ctx, objects, part.check)
		})
		if err != nil {
			return err
		}
		*part.add = append(*part.add, m)
	}
	return nil
}

func (r *round) floorObjects(floor, version string) ([]prepared, error) {
	var all []*unstructured.Unstructured
	for i := range r.n {
		objects, err := r.floorApp(r.floorSpace(floor, i), i, version)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return prepare(all)
}

// floorApp are the objects of an application, as the operator makes them.
func (r *round) floorApp(namespace string, i int, version string) ([]*unstructured.Unstructured, error) {
	if r.source == sourcePack {
		return r.packFloor(namespace, i, version)
	}
	return rendered(namespace, appName(i), version)
}

func (r *round) applyBare(ctx context.Context, objects []prepared, check bool) (outcome, error) {
	start := time.Now()
	err := each(ctx, r.o.workers, objects, func(ctx context.Context, p prepared) error {
		if check {
			if err := r.cluster.applyBody(ctx, p, true); err != nil {
				return err
			}
		}
		return r.cluster.applyBody(ctx, p, false)
	})
	return outcome{wall: time.Since(start)}, err
}

// compare sets the ratios of m to the floors without and with the check.
func (m *measurement) compare(plain, checked []*measurement) {
	m.Ratio, m.RatioChecked = m.Seconds/mean(plain, seconds), m.Seconds/mean(checked, seconds)
	m.RatioCPU = m.allCPU() / mean(plain, (*measurement).allCPU)
}

func seconds(m *measurement) float64 { return m.Seconds }

func mean(all []*measurement, of func(*measurement) float64) float64 {
	sum := 0.0
	for _, m := range all {
		sum += of(m)
	}
	return sum / float64(max(len(all), 1))
}
