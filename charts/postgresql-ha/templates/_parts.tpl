{{- /* postgresql-ha.postgresql: the field postgresql of the cluster: parameters, libraries and synchronous mode. */ -}}
{{- define "postgresql-ha.postgresql" -}}
{{- $parameters := dict -}}
{{- range $name, $value := .Values.pgParameters -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $parameters $name (include "postgresql-ha.scalar" $value) -}}{{- end -}}
{{- end -}}
{{- /* The operator has a field of its own for libraries, and loads those itself that have settings. */ -}}
{{- $libraries := list -}}
{{- range splitList "," ($parameters.shared_preload_libraries | default "") -}}
{{- $library := trim . -}}
{{- $known := has $library (list "pg_stat_statements" "auto_explain" "pgaudit" "pg_failover_slots") -}}
{{- $set := false -}}
{{- range $name, $_ := $parameters -}}{{- if hasPrefix (printf "%s." $library) $name -}}{{- $set = true -}}{{- end -}}{{- end -}}
{{- if and $library (not (and $known $set)) -}}{{- $libraries = append $libraries $library -}}{{- end -}}
{{- end -}}
{{- $_ := unset $parameters "shared_preload_libraries" -}}
{{- $memory := (((.Values.keeper.resources | default dict).requests | default dict).memory | default ((.Values.keeper.resources | default dict).limits | default dict).memory) | default "" -}}
{{- $megabytes := include "postgresql-ha.megabytes" $memory | int64 -}}
{{- if and (not (hasKey $parameters "shared_buffers")) (ge $megabytes 4) -}}
{{- $_ := set $parameters "shared_buffers" (printf "%dMB" (div $megabytes 4)) -}}
{{- end -}}
{{- /* PostgreSQL takes a min_wal_size above max_wal_size, which is 1GB unless it is given; the operator refuses it. */ -}}
{{- $least := regexReplaceAll "^[0-9]+$" ($parameters.min_wal_size | default "" | replace " " "") "${0}MB" -}}
{{- $megabytes = include "postgresql-ha.megabytes" (replace "B" "i" $least) | int64 -}}
{{- if and (not (hasKey $parameters "max_wal_size")) (ge $megabytes 1024) -}}
{{- $_ := set $parameters "max_wal_size" (printf "%dMB" (mul 2 $megabytes)) -}}
{{- end -}}
postgresql:
  parameters:
    {{- range $name, $value := $parameters }}
    {{ $name }}: {{ $value | quote }}
    {{- end }}
  {{- with $libraries }}
  shared_preload_libraries:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if int .Values.synchronous.number }}
  synchronous:
    method: {{ .Values.synchronous.method }}
    number: {{ int .Values.synchronous.number }}
    dataDurability: {{ .Values.synchronous.dataDurability }}
  {{- end }}
{{- end -}}

{{- /* postgresql-ha.roles: the users of the databases; nothing when there are none but the superuser. */ -}}
{{- define "postgresql-ha.roles" -}}
{{- $fullname := include "postgresql-ha.fullname" . -}}
{{- $seen := dict "postgres" true -}}
{{- $roles := list -}}
{{- range .Values.databases -}}
{{- if not (hasKey $seen .username) -}}
{{- $_ := set $seen .username true -}}
{{- $secret := dict "name" (printf "%s-user-%s" $fullname (include "postgresql-ha.part" .username)) -}}
{{- $role := dict "name" .username "ensure" "present" "login" true "passwordSecret" $secret -}}
{{- if not (kindIs "invalid" .userConnectionLimit) -}}{{- $_ := set $role "connectionLimit" (int .userConnectionLimit) -}}{{- end -}}
{{- $roles = append $roles $role -}}
{{- end -}}
{{- end -}}
{{- with $roles -}}
roles:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- /* postgresql-ha.backupSecret: JSON of what the Secret of yours for backups holds, {} when there is none. */ -}}
{{- define "postgresql-ha.backupSecret" -}}
{{- $data := dict -}}
{{- with .Values.backup.s3.existingSecret -}}
{{- range $key, $value := (lookup "v1" "Secret" $.Release.Namespace .).data -}}{{- $_ := set $data $key ($value | b64dec | trim) -}}{{- end -}}
{{- end -}}
{{- toJson $data -}}
{{- end -}}

{{- /*
postgresql-ha.backup: the field backup of the cluster. The operator reads keys and region from Secrets, bucket and endpoint it
wants in the Cluster.
*/ -}}
{{- define "postgresql-ha.backup" -}}
{{- $fullname := include "postgresql-ha.fullname" . -}}
{{- $backup := .Values.backup -}}
{{- $secret := $backup.s3.existingSecret | default (printf "%s-backup" $fullname) -}}
{{- $theirs := include "postgresql-ha.backupSecret" . | fromJson -}}
{{- $bucket := $backup.s3.bucket | default $theirs.bucket -}}
{{- $folder := trimAll "/" ($backup.s3.pathPrefix | default $theirs.pathPrefix | default "") -}}
{{- $path := printf "s3://%s/%s" $bucket $folder | trimSuffix "/" -}}
target: prefer-standby
{{- with include "postgresql-ha.retention" $backup }}
retentionPolicy: {{ . }}
{{- end }}
barmanObjectStore:
  destinationPath: {{ printf "%s/" $path | quote }}
  {{- with $backup.s3.endpoint | default $theirs.endpoint }}
  endpointURL: {{ . | quote }}
  {{- end }}
  s3Credentials:
    accessKeyId: {name: {{ $secret }}, key: {{ $backup.s3.accessKeyKey }}}
    secretAccessKey: {name: {{ $secret }}, key: {{ $backup.s3.secretKeyKey }}}
    {{- if $backup.s3.region }}
    region: {name: {{ $fullname }}-backup-region, key: region}
    {{- else if $theirs.region }}
    region: {name: {{ $secret }}, key: region}
    {{- end }}
  wal: {compression: gzip}
  data: {compression: gzip}
{{- end -}}

{{- /* postgresql-ha.retention: for how long backups are kept, nothing for ever. The operator counts time, maxBackups backups. */ -}}
{{- define "postgresql-ha.retention" -}}
{{- $n := int .maxBackups -}}
{{- if .retentionPolicy -}}
{{- .retentionPolicy -}}
{{- else if gt $n 0 -}}
{{- if regexMatch "^[0-9]+ [0-9]+ \\* \\* (\\*|\\?)$" .schedule -}}{{- $n -}}d
{{- else if regexMatch "^[0-9]+ [0-9]+ \\* \\* [0-7A-Za-z]+$" .schedule -}}{{- $n -}}w
{{- else -}}
{{- fail "backup.maxBackups: backups are kept by time, and the schedule is neither daily nor weekly; give backup.retentionPolicy instead, such as 30d" -}}
{{- end -}}
{{- end -}}
{{- end -}}
