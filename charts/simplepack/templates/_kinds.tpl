{{- /* Which value belongs to which kind of workload. */ -}}

{{- /* gonbad.fields: YAML of field -> kinds that have it; a field not listed belongs to every kind. */ -}}
{{- define "gonbad.fields" -}}
replicaCount: [simple, deployment, statefulset]
image: [simple]
command: [simple]
args: [simple]
env: [simple]
envFrom: [simple]
livenessProbe: [simple]
readinessProbe: [simple]
startupProbe: [simple]
lifecycle: [simple]
resources: [simple]
ports: [simple]
fileMounts: [simple]
volumeMounts: [simple]
containers: [deployment, statefulset, daemonset, cronjob]
initContainers: [deployment, statefulset, daemonset, cronjob]
strategy: [simple, deployment]
hpa: [simple, deployment, statefulset]
pdb: [simple, deployment, statefulset]
minReadySeconds: [simple, deployment, statefulset, daemonset]
topologySpreadConstraints: [simple, deployment, statefulset]
topologySpreadConstraintsSkew: [simple, deployment, statefulset]
podManagementPolicy: [statefulset]
volumeClaimTemplates: [statefulset]
updateStrategy: [statefulset, daemonset]
service: [simple, deployment, statefulset, daemonset]
schedule: [cronjob]
startingDeadlineSeconds: [cronjob]
concurrencyPolicy: [cronjob]
successfulJobsHistoryLimit: [cronjob]
failedJobsHistoryLimit: [cronjob]
suspend: [cronjob]
restartPolicy: [cronjob]
{{- end -}}

{{- /* gonbad.containerFields: the values of a container, which a simple workload carries itself. */ -}}
{{- define "gonbad.containerFields" -}}
image,command,args,env,envFrom,livenessProbe,readinessProbe,startupProbe,lifecycle,resources,ports,fileMounts,volumeMounts
{{- end -}}

{{- /* gonbad.checkKind: refuses a value that the workload's kind does not have. Input: spec, kind, path. */ -}}
{{- define "gonbad.checkKind" -}}
{{- $fields := include "gonbad.fields" . | fromYaml -}}
{{- $moved := splitList "," (include "gonbad.containerFields" .) -}}
{{- $kind := .kind -}}
{{- $path := .path -}}
{{- range $field, $value := .spec -}}
{{- $kinds := index $fields $field -}}
{{- if and $kinds (not (kindIs "invalid" $value)) -}}
{{- if not (has $kind $kinds) -}}
{{- if has $field $moved -}}
{{- fail (printf "%s.%s: a workload of kind %s has it in its containers; move it to %s.containers.NAME.%s, or set kind: simple" $path $field $kind $path $field) -}}
{{- end -}}
{{- fail (printf "%s.%s: a workload of kind %s does not have it; remove it, or use one of the kinds %s" $path $field $kind (join ", " $kinds)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
