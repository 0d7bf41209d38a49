{{- /* Settings that the whole release shares: configs, secrets, pull secrets, static files. */ -}}

{{- define "gonbad.sharedConfigmapName" -}}
{{- (.Values.global | default dict).sharedConfigmapName | default (printf "%s-shared" .Release.Name) -}}
{{- end -}}

{{- define "gonbad.sharedSecretName" -}}
{{- (.Values.global | default dict).sharedSecretName | default (printf "%s-shared" .Release.Name) -}}
{{- end -}}

{{- define "gonbad.staticFilesName" -}}
{{- printf "%s-static-files" .Release.Name -}}
{{- end -}}

{{- /* gonbad.shared: the ConfigMap and the Secret that every container reads, and the pull secrets. Input: the root. */ -}}
{{- define "gonbad.shared" -}}
{{- $global := .Values.global | default dict -}}
{{- $configs := include "gonbad.strings" $global.sharedConfigs | fromJson -}}
{{- if $configs -}}
{{- $metadata := include "gonbad.metadata" (dict "root" . "name" (include "gonbad.sharedConfigmapName" .)) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" $metadata "data" $configs) -}}
{{- end -}}
{{- $secrets := include "gonbad.strings" $global.sharedSecrets | fromJson -}}
{{- if $secrets -}}
{{- $metadata := include "gonbad.metadata" (dict "root" . "name" (include "gonbad.sharedSecretName" .)) | fromJson -}}
{{- $data := dict -}}
{{- range $key, $value := $secrets -}}{{- $_ := set $data $key (b64enc $value) -}}{{- end -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Secret" "type" "Opaque" "metadata" $metadata "data" $data) -}}
{{- end -}}
{{- include "gonbad.pullSecrets" . -}}
{{- end -}}

{{- /*
gonbad.pullSecrets: a Secret for every pull secret that comes with credentials; the same name may be listed by several
workloads with the same credentials. Input: the root.
*/ -}}
{{- define "gonbad.pullSecrets" -}}
{{- $root := . -}}
{{- $all := (.Values.global | default dict).commonImagePullSecrets | default list -}}
{{- range $key, $spec := (.Values.gonbad | default dict).workloads -}}
{{- if include "gonbad.enabled" $spec -}}{{- $all = concat $all ($spec.imagePullSecrets | default list) -}}{{- end -}}
{{- end -}}
{{- $made := dict -}}
{{- range $all -}}
{{- $given := include "gonbad.copy" (dict "from" . "fields" (list "registry" "username" "password")) | fromJson -}}
{{- if $given -}}
{{- if ne (len $given) 3 -}}
{{- fail (printf "imagePullSecrets: %s has some of registry, username, password; give all three to create the Secret, or none to use one that exists" .name) -}}
{{- end -}}
{{- $registry := regexReplaceAll "^[a-z]+://" $given.registry "" | trimSuffix "/" -}}
{{- $entry := dict "username" $given.username "password" $given.password "auth" (printf "%s:%s" $given.username $given.password | b64enc) -}}
{{- $config := toJson (dict "auths" (dict $registry $entry)) | b64enc -}}
{{- if and (hasKey $made .name) (ne (get $made .name) $config) -}}
{{- fail (printf "imagePullSecrets: %s is given twice with different credentials; use two names" .name) -}}
{{- end -}}
{{- $_ := set $made .name $config -}}
{{- end -}}
{{- end -}}
{{- range $name, $config := $made -}}
{{- $metadata := include "gonbad.metadata" (dict "root" $root "name" $name) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Secret" "type" "kubernetes.io/dockerconfigjson" "metadata" $metadata "data" (dict ".dockerconfigjson" $config)) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.staticFiles: the ConfigMap of the static files. Input: the root. */ -}}
{{- define "gonbad.staticFiles" -}}
{{- $files := include "gonbad.strings" (.Values.gonbad | default dict).staticFiles | fromJson -}}
{{- if $files -}}
{{- $metadata := include "gonbad.metadata" (dict "root" . "name" (include "gonbad.staticFilesName" .)) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" $metadata "data" $files) -}}
{{- end -}}
{{- end -}}
