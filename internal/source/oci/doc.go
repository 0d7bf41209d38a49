// Package oci finds, verifies and unpacks OCI artifacts. It is the home of sigstore's signatures.
package oci
