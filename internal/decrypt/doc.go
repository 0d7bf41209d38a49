// Package decrypt opens what was encrypted with SOPS, in memory, with age and PGP keys: it is the only home of the SOPS and
// age libraries. It runs no program and asks no service.
package decrypt
