{{- /* Prometheus rules, and objects given as they are. */ -}}

{{- /*
gonbad.prometheusRule: one PrometheusRule with one group. With tpl: true the rules pass through Helm's templates first.
An alert links to grafanaDomain by its annotation dashboard. Input: root, given (the values), path.
*/ -}}
{{- define "gonbad.prometheusRule" -}}
{{- $root := .root -}}
{{- $given := .given -}}
{{- $path := .path -}}
{{- if include "gonbad.enabled" $given -}}
{{- if $given.rules -}}
{{- $rules := dict "rules" $given.rules -}}
{{- if eq (toString $given.tpl) "true" -}}{{- $rules = tpl (toYaml $rules) $root | fromYaml -}}{{- end -}}
{{- $out := list -}}
{{- range $i, $rule := $rules.rules -}}
{{- if eq (empty .alert) (empty .record) -}}
{{- fail (printf "%s.rules[%d]: give either alert or record" $path $i) -}}
{{- end -}}
{{- $entry := include "gonbad.copy" (dict "from" . "fields" (list "alert" "record" "for")) | fromJson -}}
{{- $_ := set $entry "expr" (include "gonbad.scalar" .expr) -}}
{{- with include "gonbad.strings" .labels | fromJson -}}{{- $_ := set $entry "labels" . -}}{{- end -}}
{{- $annotations := include "gonbad.strings" .annotations | fromJson -}}
{{- if and .alert $given.grafanaDomain -}}
{{- $annotations = merge $annotations (dict "dashboard" (printf "https://%s" (regexReplaceAll "^[a-z]+://" $given.grafanaDomain ""))) -}}
{{- end -}}
{{- with $annotations -}}{{- $_ := set $entry "annotations" . -}}{{- end -}}
{{- $out = append $out $entry -}}
{{- end -}}
{{- $group := dict "name" $root.Release.Name "rules" $out -}}
{{- with $given.interval -}}{{- $_ := set $group "interval" (include "gonbad.duration" .) -}}{{- end -}}
{{- $metadata := include "gonbad.metadata" (dict "root" $root "name" $root.Release.Name) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "monitoring.coreos.com/v1" "kind" "PrometheusRule" "metadata" $metadata "spec" (dict "groups" (list $group))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.rawResources: the given objects, untouched. Input: the root. */ -}}
{{- define "gonbad.rawResources" -}}
{{- range (.Values.gonbad | default dict).rawResources -}}
{{- include "gonbad.print" . -}}
{{- end -}}
{{- end -}}
