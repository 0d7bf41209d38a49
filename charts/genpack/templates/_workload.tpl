{{- /* Workloads: Deployment, StatefulSet, DaemonSet, CronJob, and what goes with each of them. */ -}}

{{- define "gonbad.workloads" -}}
{{- $root := . -}}
{{- range $key, $given := (.Values.gonbad | default dict).workloads -}}
{{- if include "gonbad.enabled" $given -}}
{{- $w := include "gonbad.workload" (dict "root" $root "key" $key "given" $given) | fromJson -}}
{{- $_ := set $w "root" $root -}}
{{- include "gonbad.print" (include "gonbad.controller" $w | fromJson) -}}
{{- include "gonbad.service" $w -}}
{{- include "gonbad.hpa" $w -}}
{{- include "gonbad.pdb" $w -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /*
gonbad.workload: JSON of a workload made ready: key, component, kind, path, spec, fullname, and containers and
initContainers as ordered lists of {name, path, spec, ports}. A simple workload becomes a Deployment of one container.
Input: root, key, given.
*/ -}}
{{- define "gonbad.workload" -}}
{{- include "gonbad.checkName" (dict "name" .key "path" "gonbad.workloads") -}}
{{- $path := printf "gonbad.workloads.%s" .key -}}
{{- $kind := .given.kind | default "deployment" -}}
{{- include "gonbad.checkKind" (dict "spec" .given "kind" $kind "path" $path) -}}
{{- /* Kubernetes appends 11 characters to the name of a CronJob, and to that of a StatefulSet in a pod label. */ -}}
{{- $limit := ternary 52 63 (has $kind (list "cronjob" "statefulset")) -}}
{{- $fullname := include "gonbad.fullname" (dict "root" .root "key" .key "spec" .given "path" $path "limit" $limit) -}}
{{- $containers := .given.containers -}}
{{- $prefix := printf "%s.containers." $path -}}
{{- if eq $kind "simple" -}}
{{- $only := include "gonbad.copy" (dict "from" .given "fields" (splitList "," (include "gonbad.containerFields" .))) | fromJson -}}
{{- $containers = dict .key $only -}}
{{- $prefix = "" -}}
{{- end -}}
{{- $ready := include "gonbad.ordered" (dict "containers" $containers "prefix" $prefix "only" $path) | fromJsonArray -}}
{{- if not $ready -}}
{{- fail (printf "%s.containers: no container is given and enabled; give at least one" $path) -}}
{{- end -}}
{{- $init := include "gonbad.ordered" (dict "containers" .given.initContainers "prefix" (printf "%s.initContainers." $path)) | fromJsonArray -}}
{{- toJson (dict "key" .key "component" .key "kind" $kind "path" $path "spec" .given "fullname" $fullname "containers" $ready "initContainers" $init) -}}
{{- end -}}

{{- /*
gonbad.ordered: JSON array of the enabled containers, those with an order first, the others after them by name.
Input: containers, prefix of their paths (empty: the path is `only`).
*/ -}}
{{- define "gonbad.ordered" -}}
{{- $containers := .containers -}}
{{- $prefix := .prefix -}}
{{- $only := .only -}}
{{- $keys := list -}}
{{- range $name, $spec := $containers -}}
{{- if include "gonbad.enabled" $spec -}}
{{- include "gonbad.checkName" (dict "name" $name "path" (ternary $only (trimSuffix "." $prefix) (empty $prefix))) -}}
{{- $order := ternary 9999999999 (int64 (include "gonbad.scalar" $spec.order)) (kindIs "invalid" $spec.order) -}}
{{- $keys = append $keys (printf "%010d/%s" $order $name) -}}
{{- end -}}
{{- end -}}
{{- $out := list -}}
{{- range sortAlpha $keys -}}
{{- $name := last (splitList "/" .) -}}
{{- $path := ternary $only (printf "%s%s" $prefix $name) (empty $prefix) -}}
{{- $spec := index $containers $name -}}
{{- $ports := include "gonbad.ports" (dict "ports" $spec.ports "path" $path) | fromJsonArray -}}
{{- $out = append $out (dict "name" $name "path" $path "spec" $spec "ports" $ports) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.controller: JSON of the object that owns the pods. Input: a workload and root. */ -}}
{{- define "gonbad.controller" -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "name" .fullname "component" .component "labels" .spec.labels "annotations" .spec.annotations) | fromJson -}}
{{- if eq .kind "cronjob" -}}
{{- toJson (dict "apiVersion" "batch/v1" "kind" "CronJob" "metadata" $metadata "spec" (include "gonbad.cronJobSpec" . | fromJson)) -}}
{{- else -}}
{{- $kind := get (dict "simple" "Deployment" "deployment" "Deployment" "statefulset" "StatefulSet" "daemonset" "DaemonSet") .kind -}}
{{- $body := include "gonbad.copy" (dict "from" .spec "fields" (list "minReadySeconds")) | fromJson -}}
{{- $_ := set $body "selector" (dict "matchLabels" (include "gonbad.selector" . | fromJson)) -}}
{{- $_ := set $body "template" (include "gonbad.podTemplate" . | fromJson) -}}
{{- if and (ne .kind "daemonset") (not .spec.hpa) -}}
{{- $_ := set $body "replicas" (ternary 1 .spec.replicaCount (kindIs "invalid" .spec.replicaCount)) -}}
{{- end -}}
{{- if eq $kind "Deployment" -}}
{{- $_ := set $body "strategy" (include "gonbad.strategy" . | fromJson) -}}
{{- else if eq $kind "StatefulSet" -}}
{{- $_ := set $body "serviceName" .fullname -}}
{{- $_ := set $body "podManagementPolicy" (.spec.podManagementPolicy | default "OrderedReady") -}}
{{- $_ := set $body "updateStrategy" (dict "type" (include "gonbad.updateStrategy" .)) -}}
{{- with include "gonbad.claimTemplates" . | fromJsonArray -}}{{- $_ := set $body "volumeClaimTemplates" . -}}{{- end -}}
{{- else -}}
{{- $_ := set $body "updateStrategy" (dict "type" (include "gonbad.updateStrategy" .)) -}}
{{- end -}}
{{- toJson (dict "apiVersion" "apps/v1" "kind" $kind "metadata" $metadata "spec" $body) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.strategy: JSON of a Deployment's strategy, always whole, so that a change of its type leaves nothing behind. */ -}}
{{- define "gonbad.strategy" -}}
{{- $given := .spec.strategy | default dict -}}
{{- $type := $given.type | default "RollingUpdate" -}}
{{- if eq $type "Recreate" -}}
{{- if $given.rollingUpdate -}}
{{- fail (printf "%s.strategy.rollingUpdate: Recreate has no such setting; remove it, or set %s.strategy.type: RollingUpdate" .path .path) -}}
{{- end -}}
{{- toJson (dict "type" $type) -}}
{{- else -}}
{{- $rolling := $given.rollingUpdate | default dict -}}
{{- $out := dict -}}
{{- range list "maxSurge" "maxUnavailable" -}}
{{- $value := index $rolling . -}}
{{- $_ := set $out . (include "gonbad.intOrString" (ternary "25%" $value (kindIs "invalid" $value)) | fromJson).value -}}
{{- end -}}
{{- toJson (dict "type" $type "rollingUpdate" $out) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.updateStrategy: the type; a DaemonSet takes it as text, a StatefulSet as an object, both forms are read. */ -}}
{{- define "gonbad.updateStrategy" -}}
{{- $given := .spec.updateStrategy -}}
{{- if kindIs "map" $given -}}{{- $given.type | default "RollingUpdate" -}}{{- else -}}{{- $given | default "RollingUpdate" -}}{{- end -}}
{{- end -}}

{{- /* gonbad.cronJobSpec: JSON of a CronJob's spec. Kubernetes refuses Always in a Job, so the default is OnFailure. */ -}}
{{- define "gonbad.cronJobSpec" -}}
{{- if not .spec.schedule -}}
{{- fail (printf "%s.schedule: a cronjob needs one; give the crontab form, such as \"0 3 * * *\"" .path) -}}
{{- end -}}
{{- $restart := .spec.restartPolicy | default "OnFailure" -}}
{{- if eq $restart "Always" -}}
{{- fail (printf "%s.restartPolicy: Always is not possible for a cronjob; use OnFailure or Never" .path) -}}
{{- end -}}
{{- $template := include "gonbad.podTemplate" . | fromJson -}}
{{- $_ := set $template.spec "restartPolicy" $restart -}}
{{- $defaults := dict "concurrencyPolicy" "Allow" "successfulJobsHistoryLimit" 3 "failedJobsHistoryLimit" 1 "suspend" false -}}
{{- $given := include "gonbad.copy" (dict "from" .spec "fields" (list "schedule" "startingDeadlineSeconds" "concurrencyPolicy" "successfulJobsHistoryLimit" "failedJobsHistoryLimit" "suspend")) | fromJson -}}
{{- $out := mergeOverwrite $defaults $given -}}
{{- $_ := set $out "jobTemplate" (dict "spec" (dict "template" $template)) -}}
{{- toJson $out -}}
{{- end -}}
