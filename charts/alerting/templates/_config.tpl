{{- /* The AlertmanagerConfig, and the Secret with what must not stand in it. */ -}}

{{- /*
alerting.config: one AlertmanagerConfig, unless the values say nothing of it. The Secret comes first, so that it is there
when Prometheus Operator follows a reference. Input: the root.
*/ -}}
{{- define "alerting.config" -}}
{{- if or .Values.route .Values.receivers .Values.inhibitRules -}}
{{- $secret := dict "name" (printf "%s-receivers" .Release.Name) "data" dict -}}
{{- $receivers := include "alerting.receivers" (dict "receivers" .Values.receivers "secret" $secret) | fromJsonArray -}}
{{- $spec := dict -}}
{{- if .Values.route -}}
{{- $route := .Values.route -}}
{{- if not $route.receiver -}}
{{- $route = set (omit $route "receiver") "receiver" "nobody" -}}
{{- if not (hasKey (.Values.receivers | default dict) "nobody") -}}{{- $receivers = append $receivers (dict "name" "nobody") -}}{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range $receivers -}}{{- $names = append $names .name -}}{{- end -}}
{{- $_ := set $spec "route" (include "alerting.route" (dict "route" $route "path" "route" "receivers" $names) | fromJson) -}}
{{- else if $receivers -}}
{{- fail (printf "route: is missing, so no alert reaches a receiver; give route.receiver, one of %s" (keys .Values.receivers | sortAlpha | join ", ")) -}}
{{- end -}}
{{- with $receivers -}}{{- $_ := set $spec "receivers" . -}}{{- end -}}
{{- with include "alerting.inhibitRules" .Values.inhibitRules | fromJsonArray -}}{{- $_ := set $spec "inhibitRules" . -}}{{- end -}}
{{- with $secret.data -}}
{{- $metadata := include "gonbad.metadata" (dict "root" $ "name" $secret.name) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Secret" "type" "Opaque" "metadata" $metadata "data" .) -}}
{{- end -}}
{{- $metadata := include "gonbad.metadata" (dict "root" . "name" .Release.Name) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "monitoring.coreos.com/v1alpha1" "kind" "AlertmanagerConfig" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
{{- end -}}
