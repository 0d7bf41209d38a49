// Package certificate keeps the certificate that the cluster's API server knows Peyk's servers by: an authority of Peyk's
// own in a Secret, renewed before it ends, and written to the objects that make the API server call Peyk.
package certificate
