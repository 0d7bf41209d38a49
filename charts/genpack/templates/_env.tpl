{{- /* Environment variables of a container. */ -}}

{{- /*
gonbad.env: JSON array of variables, in the order that lets one refer to another: those with an order, then references,
then plain text, then text with $(NAME), which Kubernetes expands only from names above it, then order -1.
Each group is sorted by name. Input: env, path.
*/ -}}
{{- define "gonbad.env" -}}
{{- $path := .path -}}
{{- $entries := dict -}}
{{- $keys := list -}}
{{- range $name, $given := .env -}}
{{- if not (kindIs "invalid" $given) -}}
{{- $value := ternary $given (dict "value" $given) (kindIs "map" $given) -}}
{{- $entry := include "gonbad.envEntry" (dict "name" $name "value" $value "path" (printf "%s.env.%s" $path $name)) | fromJson -}}
{{- $_ := set $entries $name $entry -}}
{{- $group := "3" -}}
{{- if not (kindIs "invalid" $value.order) -}}
{{- $order := int64 (include "gonbad.scalar" $value.order) -}}
{{- $group = ternary "5" (printf "1/%010d" $order) (lt $order 0) -}}
{{- else if $entry.valueFrom -}}
{{- $group = "2" -}}
{{- else if contains "$(" ($entry.value | toString) -}}
{{- $group = "4" -}}
{{- end -}}
{{- $keys = append $keys (printf "%s/%s" $group $name) -}}
{{- end -}}
{{- end -}}
{{- $out := list -}}
{{- range sortAlpha $keys -}}{{- $out = append $out (index $entries (last (splitList "/" .))) -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.envEntry: JSON of one variable. Input: name, value (the object form), path. */ -}}
{{- define "gonbad.envEntry" -}}
{{- $out := dict "name" .name -}}
{{- $found := list -}}
{{- $sources := dict "secretRef" "secretKeyRef" "secretKeyRef" "secretKeyRef" "configMapRef" "configMapKeyRef" "configMapKeyRef" "configMapKeyRef" "resourceFieldRef" "resourceFieldRef" "fieldRef" "fieldRef" -}}
{{- range $field, $given := .value -}}
{{- if and (ne $field "order") (not (kindIs "invalid" $given)) -}}
{{- $found = append $found $field -}}
{{- if eq $field "value" -}}
{{- $_ := set $out "value" (include "gonbad.scalar" $given) -}}
{{- else -}}
{{- $_ := set $out "valueFrom" (dict (index $sources $field) $given) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if ne (len $found) 1 -}}
{{- fail (printf "%s: has %s; give exactly one of value, secretRef, configMapRef, resourceFieldRef, fieldRef" .path (ternary "nothing to take its value from" (join " and " $found) (empty $found))) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.envFrom: JSON array: the release's shared settings first, so that the container's own win. Input: root, spec. */ -}}
{{- define "gonbad.envFrom" -}}
{{- $out := list -}}
{{- if include "gonbad.strings" (.root.Values.global | default dict).sharedConfigs | fromJson -}}
{{- $out = append $out (dict "configMapRef" (dict "name" (include "gonbad.sharedConfigmapName" .root))) -}}
{{- end -}}
{{- if include "gonbad.strings" (.root.Values.global | default dict).sharedSecrets | fromJson -}}
{{- $out = append $out (dict "secretRef" (dict "name" (include "gonbad.sharedSecretName" .root))) -}}
{{- end -}}
{{- toJson (concat $out (.spec.envFrom | default list)) -}}
{{- end -}}
