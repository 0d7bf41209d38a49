package helmrelease

import (
	v2 "github.com/fluxcd/helm-controller/api/v2"

	"github.com/peyk/peyk/internal/reconcile"
	"github.com/peyk/peyk/internal/render/helm"
)

// The keys of the events' metadata that only HelmReleases have.
const (
	metaAppVersion = "app-version"
	metaOCIDigest  = "oci-digest"
)

// revisionOf is the metadata of every event of a HelmRelease.
func revisionOf(obj *v2.HelmRelease) map[string]string {
	if revision := obj.Status.GetLastAttemptedRevision(); revision != "" {
		return map[string]string{reconcile.MetaRevision: revision}
	}
	return nil
}

func eventMetadata(revision, config, appVersion, ociDigest string) map[string]string {
	metadata := map[string]string{reconcile.MetaRevision: revision, reconcile.MetaToken: config}
	if appVersion != "" {
		metadata[metaAppVersion] = appVersion
	}
	if ociDigest != "" {
		metadata[metaOCIDigest] = ociDigest
	}
	return metadata
}

func snapshotMetadata(s *v2.Snapshot) map[string]string {
	return eventMetadata(s.ChartVersion, s.ConfigDigest, s.AppVersion, s.OCIDigest)
}

// withLog adds the last lines that Helm logged to a message.
func withLog(message string, log *helm.Log) string {
	if lines := log.String(); lines != "" {
		message += "\n\nLast Helm logs:\n\n" + lines
	}
	return message
}
