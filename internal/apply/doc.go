// Package apply makes objects so in a cluster: order, server-side apply of what changed, prune, inventory, drift and
// health, both told by watches. DESIGN.md says how it stays correct.
package apply
