package packsync

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
)

// pair is a Pack and its file: what is known of the two.
type pair struct {
	key types.NamespacedName
	// file is nil where there is none; git is its spec.
	file *file
	git  spec
	// pack is nil where there is none; cluster is its spec.
	pack    *packv1.Pack
	cluster spec
	// was is what the last pass found. base is the last spec that both had, nil when it is not known.
	was     peykv1.SyncedPack
	base    spec
	mapping peykv1.PackMapping
}

// action is what is to be done about a pair.
type action int

const (
	nothing     action = iota
	applyFile          // the file's spec to the cluster; a Pack that is not there is made
	commitPack         // the cluster's spec to the file
	commitFirst        // a file for a Pack that has none
	commitMerge        // what both changed, to both
	deletePack
)

// decision is what a pass makes of a pair. The state is the one after the action worked.
type decision struct {
	action  action
	state   peykv1.PackState
	message string
	// merged is the spec to write with commitMerge.
	merged spec
	// hide leaves the pair out of the status.
	hide bool
}

func unmapped(format string, args ...any) decision {
	return decision{state: peykv1.PackUnmapped, message: fmt.Sprintf(format, args...)}
}

// decide says what to do. It looks at nothing but its arguments.
func decide(p pair, want peykv1.PackSyncSpec) decision {
	switch {
	case p.mapping.Disconnected:
		return unmapped("disconnected by spec.mappings")
	case p.pack != nil && !p.pack.DeletionTimestamp.IsZero():
		return unmapped("the Pack is being deleted")
	case p.pack != nil && p.pack.Labels[kustomizationLabel] != "":
		return unmapped("Kustomization %s applies this Pack; remove it there to connect it here", p.pack.Labels[kustomizationLabel])
	case p.file != nil && p.file.problem != "":
		return decision{state: peykv1.PackInvalid, message: p.file.problem}
	case p.pack == nil && p.file == nil:
		return decision{hide: true}
	case p.pack == nil && (want.Create || p.mapping.Path == p.file.path):
		return decision{action: applyFile, state: peykv1.PackSynced}
	case p.pack == nil:
		return unmapped("the file has no Pack: create it with 'peyk pack git connect %s --path %s', or set spec.create", p.key.Name, p.file.path)
	case p.file == nil:
		return withoutFile(p, want)
	}
	return decideBoth(p, want)
}

// withoutFile decides for a Pack without a file.
func withoutFile(p pair, want peykv1.PackSyncSpec) decision {
	asked := resolution(p) == peykv1.ResolveCluster
	if p.was.Path == "" || p.was.Base == "" || asked {
		if path := p.mapping.Path; path != "" || asked && p.was.Path != "" {
			return decision{action: commitFirst, state: peykv1.PackSynced}
		}
		return unmapped("the Pack has no file: connect it with 'peyk pack git connect %s --path PATH'", p.key.Name)
	}
	if want.Prune && p.was.FromGit {
		return decision{action: deletePack, hide: true}
	}
	return unmapped("its file %s was removed in Git and the Pack was left as it is: delete it, or write the file again with 'peyk pack git resolve %s --take cluster'", p.was.Path, p.key.Name)
}

func resolution(p pair) string {
	if p.pack == nil {
		return ""
	}
	return p.pack.Annotations[peykv1.ResolveAnnotation]
}

// decideBoth decides for a Pack with a file.
func decideBoth(p pair, want peykv1.PackSyncSpec) decision {
	git, cluster := p.git.digest(), p.cluster.digest()
	if git == cluster {
		return decision{state: peykv1.PackSynced}
	}
	_, both := merge(p.base, p.git, p.cluster, preferNobody)
	switch resolution(p) {
	case peykv1.ResolveGit:
		return decision{action: applyFile, state: peykv1.PackSynced}
	case peykv1.ResolveCluster:
		return decision{action: commitPack, state: peykv1.PackSynced}
	case peykv1.ResolveMerge:
		if len(both) == 0 && p.base != nil {
			return mergeBoth(p, preferNobody)
		}
	case peykv1.ResolveMergePreferGit:
		return mergeBoth(p, preferGit)
	case peykv1.ResolveMergePreferCluster:
		return mergeBoth(p, preferCluster)
	}
	const ways = "'peyk pack git resolve %s --take git|cluster|merge'"
	switch {
	case p.was.State == peykv1.PackDetached:
		return decision{state: peykv1.PackDetached, message: fmt.Sprintf("changed in the cluster; Git is not followed until "+ways, p.key.Name)}
	case p.was.Base == "":
		return decision{state: peykv1.PackConflict, message: fmt.Sprintf("file and Pack differ in %s, and were never the same: "+ways, list(both), p.key.Name)}
	case p.was.Base == cluster:
		return decision{action: applyFile, state: peykv1.PackSynced}
	case p.was.Base == git:
		return clusterChanged(p, want)
	}
	message := "both sides changed, in different fields: " + ways
	if len(both) > 0 {
		message = "both sides changed " + strings.ReplaceAll(list(both), "%", "%%") + ": " + ways + "; a merge needs --prefer git or cluster"
	}
	return decision{state: peykv1.PackConflict, message: fmt.Sprintf(message, p.key.Name)}
}

func mergeBoth(p pair, preferred prefer) decision {
	merged, _ := merge(p.base, p.git, p.cluster, preferred)
	return decision{action: commitMerge, state: peykv1.PackSynced, merged: merged}
}

// clusterChanged decides about a Pack that only the cluster changed.
func clusterChanged(p pair, want peykv1.PackSyncSpec) decision {
	if want.Changes(p.pack.Annotations) == peykv1.DetachPack {
		return decision{state: peykv1.PackDetached, message: fmt.Sprintf("changed in the cluster; Git is not followed until 'peyk pack git commit %s'", p.key.Name)}
	}
	return decision{action: commitPack, state: peykv1.PackSynced}
}

// list names a few fields.
func list(fields []string) string {
	const few = 5
	if len(fields) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(fields[:few], ", "), len(fields)-few)
	}
	return strings.Join(fields, ", ")
}
