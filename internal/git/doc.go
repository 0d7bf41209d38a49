// Package git reads remote Git repositories: it resolves references, keeps one mirror per address and identity, and
// writes the tree of a commit to a folder without a checkout. It is the only home of go-git, and needs no git binary.
package git
