// Package pack holds the rules of the Pack API: version constraints, vars and their levels, what makes a Pack invalid, its
// revisions, and its short id in URLs.
package pack
