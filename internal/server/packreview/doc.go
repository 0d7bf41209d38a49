// Package packreview serves the API group render.peyk.dev behind the cluster's API server, which says who asks: what a Pack
// renders to, and what applying it would change.
package packreview
