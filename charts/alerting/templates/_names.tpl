{{- /* Names, labels and metadata of the objects. */ -}}

{{- /*
gonbad.fullname: the name of a workload, and of its Service. Input: root, key, spec, path, limit (greatest length).
A name too long is refused rather than cut: an ingress finds the Service by the same rule, without looking.
*/ -}}
{{- define "gonbad.fullname" -}}
{{- $name := .spec.fullnameOverride | default (printf "%s-%s" .root.Release.Name .key) -}}
{{- if gt (len $name) (int .limit) -}}
{{- fail (printf "%s: the name %s has %d characters, at most %d are possible; set %s.fullnameOverride" .path $name (len $name) (int .limit) .path) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- /*
gonbad.selector: JSON of the labels that bind a workload to its pods. They can never change, so neither the chart's
name nor its version is among them: a release may move from simplepack to genpack. Input: root, component.
*/ -}}
{{- define "gonbad.selector" -}}
{{- $out := dict "app.kubernetes.io/instance" .root.Release.Name -}}
{{- if .component -}}{{- $_ := set $out "app.kubernetes.io/component" .component -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
gonbad.metadata: JSON of an object's metadata. The user's labels win over the standard ones, the selector over both.
Input: root, name, and optionally component, labels, annotations, namespace.
*/ -}}
{{- define "gonbad.metadata" -}}
{{- $root := .root -}}
{{- $labels := dict "app.kubernetes.io/name" $root.Chart.Name "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $labels = mergeOverwrite $labels (include "gonbad.strings" .labels | fromJson) (include "gonbad.selector" . | fromJson) -}}
{{- $out := dict "name" .name "namespace" (.namespace | default $root.Release.Namespace) "labels" $labels -}}
{{- with include "gonbad.strings" .annotations | fromJson -}}{{- $_ := set $out "annotations" . -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.checkName: refuses a key of values that has to serve as a name in Kubernetes. Input: name, path. */ -}}
{{- define "gonbad.checkName" -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" .name) -}}
{{- fail (printf "%s.%s: %s cannot be a name; use at most 63 lower-case letters, digits and dashes" .path .name .name) -}}
{{- end -}}
{{- end -}}
