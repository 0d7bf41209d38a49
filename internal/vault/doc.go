// Package vault encrypts the secrets of Packs with keys that the cluster holds, opens them just before Helm needs them,
// and finds those that stand in plain text in files.
package vault
