// Package pack holds the rules of the Pack API that need no cluster: version constraints, vars, and the short id of a
// Pack in URLs.
package pack
