{{- /*
redis.fullname: the release's name, with the chart's name appended unless it is in there already.
A StatefulSet's name may have 52 characters: Kubernetes puts it into a label together with a hash.
*/ -}}
{{- define "redis.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}{{- end -}}
{{- if gt (len $name) 52 -}}
{{- fail (printf "the name %s has %d characters, at most 52 are possible; give the pack a shorter name" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "redis.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis.labels" -}}
{{ include "redis.selector" . }}
app.kubernetes.io/component: cache
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- /* redis.scalar: a number, boolean or string as text, without the 1e+06 form. */ -}}
{{- define "redis.scalar" -}}
{{- if kindIs "float64" . -}}{{- toJson . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* redis.envs: JSON of envs as text, nulls left out. */ -}}
{{- define "redis.envs" -}}
{{- $out := dict -}}
{{- range $name, $value := .Values.envs -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $out $name (include "redis.scalar" $value) -}}{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* redis.given: the password that the values give, empty when they give none. */ -}}
{{- define "redis.given" -}}
{{- $envs := include "redis.envs" . | fromJson -}}
{{- $own := include "redis.scalar" (.Values.password | default "") -}}
{{- if and $own $envs.REDIS_PASSWORD (ne $own ($envs.REDIS_PASSWORD | default "")) -}}
{{- fail "password, envs.REDIS_PASSWORD: give different passwords; remove one of them" -}}
{{- end -}}
{{- $given := $own | default $envs.REDIS_PASSWORD | default "" -}}
{{- if regexMatch "[\x00-\x1f\x7f]" $given -}}
{{- fail "password: has a line break or another control character; remove it" -}}
{{- end -}}
{{- $given -}}
{{- end -}}

{{- /* redis.resources: YAML of the resources given as context; a request that is left out equals its limit. */ -}}
{{- define "redis.resources" -}}
{{- $given := . | default dict -}}
{{- $limits := dict -}}
{{- range $name, $value := $given.limits -}}{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $limits $name (include "redis.scalar" $value) -}}{{- end -}}{{- end -}}
{{- $requests := dict -}}
{{- range $name, $value := $given.requests -}}{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $requests $name (include "redis.scalar" $value) -}}{{- end -}}{{- end -}}
{{- $requests = merge $requests $limits (dict "cpu" "100m") -}}
{{- $out := dict "requests" $requests -}}
{{- with $limits -}}{{- $_ := set $out "limits" . -}}{{- end -}}
{{- toYaml $out -}}
{{- end -}}
