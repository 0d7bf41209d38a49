// Package kustomize turns a directory of an artifact into objects: it is the only home of the kustomize libraries. It
// generates a kustomization where there is none, adds what a Kustomization's spec asks for, and substitutes variables.
package kustomize
