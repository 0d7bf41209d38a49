{{- /*
redis-ha.fullname: the release's name, with the chart's name appended unless it is in there already.
*/ -}}
{{- define "redis-ha.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) -}}{{- $name = printf "%s-%s" $name .Chart.Name -}}{{- end -}}
{{- if gt (len $name) 45 -}}
{{- fail (printf "the name %s has %d characters, at most 45 are possible, because -server is appended; give the pack a shorter name" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "redis-ha.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "redis-ha.labels" -}}
{{ include "redis-ha.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- /* redis-ha.scalar: a number, boolean or string as text, without the 1e+06 form. */ -}}
{{- define "redis-ha.scalar" -}}
{{- if kindIs "float64" . -}}{{- toJson . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* redis-ha.resources: YAML of the resources given as context; a request that is left out equals its limit. */ -}}
{{- define "redis-ha.resources" -}}
{{- $given := . | default dict -}}
{{- $limits := dict -}}
{{- range $name, $value := $given.limits -}}{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $limits $name (include "redis-ha.scalar" $value) -}}{{- end -}}{{- end -}}
{{- $requests := dict -}}
{{- range $name, $value := $given.requests -}}{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $requests $name (include "redis-ha.scalar" $value) -}}{{- end -}}{{- end -}}
{{- $requests = merge $requests $limits (dict "cpu" "100m") -}}
{{- $out := dict "requests" $requests -}}
{{- with $limits -}}{{- $_ := set $out "limits" . -}}{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{- /* redis-ha.lines: the lines of a configuration file, "name value", of the map given as context. */ -}}
{{- define "redis-ha.lines" -}}
{{- range $name, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $text := include "redis-ha.scalar" $value -}}
{{- if regexMatch "[\x00-\x1f\x7f]" $text -}}
{{- fail (printf "redis.config.%s: has a line break; give every setting its own name" $name) -}}
{{- end }}
{{ $name }} {{ $text | default "\"\"" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* redis-ha.redisConf: what all pods' redis.conf begins with. */ -}}
{{- define "redis-ha.redisConf" -}}
{{- range $name, $_ := .Values.redis.config -}}
{{- if has (lower $name) (list "port" "bind" "dir" "daemonize" "logfile" "include" "protected-mode" "replicaof" "slaveof" "requirepass" "masterauth" "replica-announce-ip" "replica-announce-port" "slave-announce-ip" "slave-announce-port") -}}
{{- fail (printf "redis.config.%s: the chart sets it; remove it" $name) -}}
{{- end -}}
{{- end -}}
port 6379
bind * -::*
dir /data
# The password, or the wish to have none, is stated; this mode would refuse other pods in the second case.
protected-mode no
replica-announce-port 6379
{{- include "redis-ha.lines" .Values.redis.config }}
{{ end -}}

{{- define "redis-ha.sentinelConf" -}}
{{- $group := .Values.redis.masterGroupName -}}
{{- range $name, $value := .Values.sentinel.config -}}
{{- if not (kindIs "invalid" $value) -}}
sentinel {{ $name }} {{ $group }} {{ include "redis-ha.scalar" $value }}
{{ end -}}
{{- end -}}
{{- end -}}

{{- /* redis-ha.given: the password that the values give, empty when they give none. */ -}}
{{- define "redis-ha.given" -}}
{{- $given := include "redis-ha.scalar" (.Values.redisPassword | default "") -}}
{{- if regexMatch "[\x00-\x1f\x7f]" $given -}}
{{- fail "redisPassword: has a line break or another control character; remove it" -}}
{{- end -}}
{{- if and $given .Values.existingSecret -}}
{{- fail "redisPassword, existingSecret: only one of them can hold the password; remove the other" -}}
{{- end -}}
{{- $given -}}
{{- end -}}

{{- /* redis-ha.resp: hexadecimal digits of a command in Redis' protocol; the context is the list of its words. */ -}}
{{- define "redis-ha.resp" -}}
{{- $out := printf "*%d\r\n" (len .) -}}
{{- range . -}}{{- $out = printf "%s$%d\r\n%s\r\n" $out (len .) . -}}{{- end -}}
{{- printf "%x" $out -}}
{{- end -}}

{{- define "redis-ha.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- /* redis-ha.env: what the scripts of the pods know of the release. */ -}}
{{- define "redis-ha.env" -}}
{{- $fullname := include "redis-ha.fullname" . -}}
- {name: ANNOUNCE, value: {{ $fullname }}-announce}
- {name: REPLICAS, value: {{ int .Values.replicas | quote }}}
- {name: QUORUM, value: {{ int .Values.sentinel.quorum | quote }}}
- {name: GROUP, value: {{ .Values.redis.masterGroupName | quote }}}
# Seconds that a master that starts again waits for another to be chosen.
- {name: PATIENCE, value: {{ div (int (index .Values.sentinel.config "down-after-milliseconds")) 1000 | add 15 | quote }}}
{{- if .Values.auth }}
# Read by redis-cli, so that nobody in the container needs the password in a command line.
- name: REDISCLI_AUTH
  valueFrom:
    secretKeyRef: {name: {{ $fullname }}, key: auth}
{{- end }}
{{- end -}}

{{- define "redis-ha.mounts" -}}
- {name: data, mountPath: /data}
- {name: config, mountPath: /config, readOnly: true}
- {name: scripts, mountPath: /scripts, readOnly: true}
{{- if .Values.auth }}
- {name: auth, mountPath: /auth, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- end -}}
