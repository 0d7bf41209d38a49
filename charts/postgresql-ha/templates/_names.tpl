{{- /*
postgresql-ha.fullname: the release's name, with the chart's name appended unless it is in there already.
*/ -}}
{{- define "postgresql-ha.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}{{- end -}}
{{- if gt (len $name) 45 -}}
{{- fail (printf "the name %s has %d characters, at most 45 are possible; give the pack a shorter name" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "postgresql-ha.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- /* postgresql-ha.scalar: a number, boolean or string as text, without the 1e+06 form. */ -}}
{{- define "postgresql-ha.scalar" -}}
{{- if kindIs "float64" . -}}{{- toJson . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* postgresql-ha.part: a name of PostgreSQL as a part of an object's name. */ -}}
{{- define "postgresql-ha.part" -}}
{{- $part := regexReplaceAll "[^a-z0-9-]" (lower .) "-" | trunc 40 | trimAll "-" -}}
{{- if ne $part . -}}{{- $part = printf "%s-%s" $part (. | sha256sum | trunc 6) | trimPrefix "-" -}}{{- end -}}
{{- $part -}}
{{- end -}}

{{- /* postgresql-ha.tag: the image's tag; of the form v0.17.0-pg13 only the version of PostgreSQL is meant. */ -}}
{{- define "postgresql-ha.tag" -}}
{{- regexReplaceAll "^v[0-9.]+-pg([0-9]+)$" (include "postgresql-ha.scalar" .Values.image.tag) "${1}" -}}
{{- end -}}

{{- define "postgresql-ha.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if contains "sabzco/postgres" $repository -}}
{{- fail "image.repository: sabzco/postgres is an image for Stolon; remove it, or name one that is made for CloudNativePG" -}}
{{- end -}}
{{- with .Values.image.registry | default (.Values.global | default dict).commonImageRegistry -}}
{{- $repository = printf "%s/%s" . (trimPrefix "ghcr.io/" $repository) -}}
{{- end -}}
{{- printf "%s:%s" $repository (include "postgresql-ha.tag" .) -}}
{{- end -}}

{{- /* postgresql-ha.megabytes: the whole megabytes of a memory quantity, 0 when it has another form. */ -}}
{{- define "postgresql-ha.megabytes" -}}
{{- $text := include "postgresql-ha.scalar" . -}}
{{- $number := regexFind "^[0-9]+" $text | default "0" | int64 -}}
{{- $unit := regexReplaceAll "^[0-9]+" $text "" -}}
{{- if eq $unit "Gi" -}}{{- mul $number 1024 -}}{{- else if eq $unit "Mi" -}}{{- $number -}}{{- else if eq $unit "G" -}}{{- mul $number 953 -}}{{- else if eq $unit "M" -}}{{- div (mul $number 95) 100 -}}{{- else -}}0{{- end -}}
{{- end -}}

{{- /* postgresql-ha.first: JSON of the first database that the operator makes with the cluster, {} when there is none. */ -}}
{{- define "postgresql-ha.first" -}}
{{- $first := dict -}}
{{- range .Values.databases -}}
{{- if and (not $first) (ne .database "postgres") (ne .username "postgres") -}}{{- $first = . -}}{{- end -}}
{{- end -}}
{{- toJson $first -}}
{{- end -}}
