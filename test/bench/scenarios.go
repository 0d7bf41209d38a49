package main

import (
	"context"
	"slices"
	"strings"
)

// scenario is something to measure. Scenarios run in the order of the list, in the cluster that the ones before left.
type scenario struct {
	name  string
	title string
	// when says whether a round runs it.
	when func(*round) bool
	run  func(*round, context.Context) error
}

// scenarios is the list of everything that can be measured.
var scenarios = []scenario{
	{"a", "first install", plain("a", "b", "c", "d", "e", "h"), (*round).install},
	{"b", "upgrade of all", plain("b"), (*round).upgrade},
	{"g", "HelmReleases", releases, (*round).releases},
	{"p", "Packs", packs, (*round).packs},
	{"floor", "the bare client again", wanted("a", "b", "g", "p"), (*round).lastFloor},
	{"c", "one application changes", fromGit("c"), (*round).change},
	{"d", "nothing changes", func(r *round) bool { return r.source != sourcePack && r.o.wants("d") }, (*round).rest},
	{"e", "drift", fromGit("e"), (*round).drift},
	{"f", "a chain of ten", fromGit("f"), (*round).chain},
	{"h", "killed and started again", fromGit("h"), (*round).restart},
}

// wants says whether one of these scenarios was asked for.
func (o *options) wants(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(o.scenarios, name) })
}

func wanted(names ...string) func(*round) bool {
	return func(r *round) bool { return r.o.wants(names...) }
}

// plain is wanted for applications that are Kustomizations.
func plain(names ...string) func(*round) bool {
	return func(r *round) bool { return (r.source == sourceGit || r.source == sourceOCI) && r.o.wants(names...) }
}

func releases(r *round) bool { return r.source == sourceHelm }

func packs(r *round) bool { return r.source == sourcePack }

// fromGit is wanted for what is the same for every source, and measured once.
func fromGit(name string) func(*round) bool {
	return func(r *round) bool { return r.source == sourceGit && r.o.wants(name) }
}

// defaults are the scenarios that run when none are named.
func defaults() []string { return []string{"a", "b", "c", "d", "e", "f", "g", "h"} } // not p, which needs root

func describeScenarios() string {
	var all []string
	for _, s := range scenarios {
		if s.name != "floor" {
			all = append(all, s.name+" ("+s.title+")")
		}
	}
	return strings.Join(all, ", ")
}
