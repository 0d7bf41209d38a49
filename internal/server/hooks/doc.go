// Package hooks answers the webhooks that come in: deploys from CI, and pushes from Git.
package hooks
