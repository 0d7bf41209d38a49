{{- /*
postgres.fullname: the release's name, with the chart's name appended unless it is in there already.
A StatefulSet's name may have 52 characters: Kubernetes puts it into a label together with a hash.
*/ -}}
{{- define "postgres.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}{{- end -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "the name %s has %d characters, at most 52 are possible; give the pack a shorter name" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "postgres.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "postgres.labels" -}}
{{ include "postgres.selector" . }}
app.kubernetes.io/component: database
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- /* postgres.scalar: a number, boolean or string as text, without the 1e+06 form. */ -}}
{{- define "postgres.scalar" -}}
{{- if kindIs "float64" . -}}{{- toJson . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* postgres.envs: JSON of envs as text, nulls left out. */ -}}
{{- define "postgres.envs" -}}
{{- $out := dict -}}
{{- range $name, $value := .Values.envs -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $out $name (include "postgres.scalar" $value) -}}{{- end -}}
{{- end -}}
{{- if hasKey $out "PGDATA" -}}
{{- fail "envs.PGDATA: the chart sets it, below its volume; remove it" -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* postgres.database: name of the database that the image makes. */ -}}
{{- define "postgres.database" -}}
{{- $envs := include "postgres.envs" . | fromJson -}}
{{- if and .Values.metrics.enabled (or $envs.POSTGRES_USER_FILE $envs.POSTGRES_DB_FILE $envs.POSTGRES_PASSWORD_FILE) -}}
{{- fail "metrics.enabled: the exporter cannot read user, database and password from files of the server's image; give POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD in envs" -}}
{{- end -}}
{{- $envs.POSTGRES_DB | default $envs.POSTGRES_USER | default "postgres" -}}
{{- end -}}

{{- /*
postgres.envNames: JSON array of the variables that the container gets from the Secret. POSTGRES_PASSWORD is among them
unless the image reads it from a file.
*/ -}}
{{- define "postgres.envNames" -}}
{{- $envs := include "postgres.envs" . | fromJson -}}
{{- $names := keys $envs -}}
{{- if not (hasKey $envs "POSTGRES_PASSWORD_FILE") -}}{{- $names = append $names "POSTGRES_PASSWORD" -}}{{- end -}}
{{- uniq $names | sortAlpha | toJson -}}
{{- end -}}

{{- /* postgres.resources: YAML of the resources given as context; a request that is left out equals its limit. */ -}}
{{- define "postgres.resources" -}}
{{- $given := . | default dict -}}
{{- $limits := dict -}}
{{- range $name, $value := $given.limits -}}{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $limits $name (include "postgres.scalar" $value) -}}{{- end -}}{{- end -}}
{{- $requests := dict -}}
{{- range $name, $value := $given.requests -}}{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $requests $name (include "postgres.scalar" $value) -}}{{- end -}}{{- end -}}
{{- $requests = merge $requests $limits (dict "cpu" "100m") -}}
{{- $out := dict "requests" $requests -}}
{{- with $limits -}}{{- $_ := set $out "limits" . -}}{{- end -}}
{{- toYaml $out -}}
{{- end -}}
