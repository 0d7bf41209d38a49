{{- /* How many pods run, and how many may be away. */ -}}

{{- /* gonbad.hpa: the HorizontalPodAutoscaler of a workload. Input: a workload and root. */ -}}
{{- define "gonbad.hpa" -}}
{{- if .spec.hpa -}}
{{- $hpa := .spec.hpa -}}
{{- $path := printf "%s.hpa" .path -}}
{{- $metrics := list -}}
{{- range $resource := list "cpu" "memory" -}}
{{- $percent := index $hpa (printf "%sAverageUtilization" $resource) -}}
{{- if $percent -}}
{{- $metrics = append $metrics (dict "type" "Resource" "resource" (dict "name" $resource "target" (dict "type" "Utilization" "averageUtilization" $percent))) -}}
{{- end -}}
{{- end -}}
{{- range $i, $metric := $hpa.metrics -}}
{{- $metrics = append $metrics (include "gonbad.hpaMetric" (dict "metric" $metric "path" (printf "%s.metrics[%d]" $path $i)) | fromJson) -}}
{{- end -}}
{{- $kind := ternary "StatefulSet" "Deployment" (eq .kind "statefulset") -}}
{{- $min := ternary 1 $hpa.minReplicas (kindIs "invalid" $hpa.minReplicas) -}}
{{- if gt (int64 (include "gonbad.scalar" $min)) (int64 (include "gonbad.scalar" $hpa.maxReplicas)) -}}
{{- fail (printf "%s.maxReplicas: is below minReplicas; raise it" $path) -}}
{{- end -}}
{{- $spec := dict "scaleTargetRef" (dict "apiVersion" "apps/v1" "kind" $kind "name" .fullname) "minReplicas" $min "maxReplicas" $hpa.maxReplicas -}}
{{- with $metrics -}}{{- $_ := set $spec "metrics" . -}}{{- end -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "name" .fullname "component" .component) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "autoscaling/v2" "kind" "HorizontalPodAutoscaler" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.hpaMetric: JSON of one metric. Input: metric {type, name, metricSelector, target, describedObject}, path. */ -}}
{{- define "gonbad.hpaMetric" -}}
{{- $m := .metric -}}
{{- $given := include "gonbad.copy" (dict "from" $m.target "fields" (list "value" "averageValue" "averageUtilization")) | fromJson -}}
{{- if ne (len $given) 1 -}}
{{- fail (printf "%s.target: give exactly one of value, averageValue, averageUtilization" .path) -}}
{{- end -}}
{{- $field := first (keys $given) -}}
{{- $allowed := get (dict "Resource" (list "averageUtilization" "averageValue") "Pods" (list "averageValue") "Object" (list "averageValue" "value") "External" (list "averageValue" "value")) $m.type -}}
{{- if not (has $field $allowed) -}}
{{- fail (printf "%s.target.%s: a metric of type %s does not have it; give one of %s" .path $field $m.type (join ", " $allowed)) -}}
{{- end -}}
{{- $type := get (dict "value" "Value" "averageValue" "AverageValue" "averageUtilization" "Utilization") $field -}}
{{- $value := index $m.target $field -}}
{{- $target := dict "type" $type $field (ternary $value (include "gonbad.scalar" $value) (eq $field "averageUtilization")) -}}
{{- if and $m.describedObject (ne $m.type "Object") -}}
{{- fail (printf "%s.describedObject: only a metric of type Object has it; remove it" .path) -}}
{{- end -}}
{{- if and $m.metricSelector (eq $m.type "Resource") -}}
{{- fail (printf "%s.metricSelector: a metric of type Resource has none; remove it" .path) -}}
{{- end -}}
{{- $body := dict "target" $target -}}
{{- if eq $m.type "Resource" -}}
{{- $_ := set $body "name" $m.name -}}
{{- else -}}
{{- $metric := dict "name" $m.name -}}
{{- with $m.metricSelector -}}{{- $_ := set $metric "selector" (include "gonbad.labelSelector" . | fromJson) -}}{{- end -}}
{{- $_ := set $body "metric" $metric -}}
{{- end -}}
{{- if eq $m.type "Object" -}}
{{- if not $m.describedObject -}}
{{- fail (printf "%s.describedObject: a metric of type Object needs it; give kind, name and apiVersion" .path) -}}
{{- end -}}
{{- $_ := set $body "describedObject" $m.describedObject -}}
{{- end -}}
{{- toJson (dict "type" $m.type (lower $m.type) $body) -}}
{{- end -}}

{{- /* gonbad.pdb: the PodDisruptionBudget of a workload. Input: a workload and root. */ -}}
{{- define "gonbad.pdb" -}}
{{- if .spec.pdb -}}
{{- $spec := include "gonbad.copy" (dict "from" .spec.pdb "fields" (list "minAvailable" "maxUnavailable")) | fromJson -}}
{{- if ne (len $spec) 1 -}}
{{- fail (printf "%s.pdb: give exactly one of minAvailable, maxUnavailable" .path) -}}
{{- end -}}
{{- range $field, $value := $spec -}}{{- $_ := set $spec $field (include "gonbad.intOrString" $value | fromJson).value -}}{{- end -}}
{{- $_ := set $spec "selector" (dict "matchLabels" (include "gonbad.selector" . | fromJson)) -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "name" .fullname "component" .component) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "policy/v1" "kind" "PodDisruptionBudget" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
{{- end -}}
