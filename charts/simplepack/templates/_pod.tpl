{{- /* The pods of a workload. */ -}}

{{- /* gonbad.podTemplate: JSON of a pod template, metadata and spec. Input: a workload and root. */ -}}
{{- define "gonbad.podTemplate" -}}
{{- $root := .root -}}
{{- $labels := mergeOverwrite (dict "app.kubernetes.io/name" $root.Chart.Name) (include "gonbad.strings" .spec.podLabels | fromJson) (include "gonbad.selector" . | fromJson) -}}
{{- $metadata := dict "labels" $labels -}}
{{- $annotations := mergeOverwrite (include "gonbad.strings" .spec.podAnnotations | fromJson) (include "gonbad.checksums" . | fromJson) -}}
{{- with $annotations -}}{{- $_ := set $metadata "annotations" . -}}{{- end -}}
{{- $fields := list "terminationGracePeriodSeconds" "hostNetwork" "hostAliases" "dnsPolicy" "dnsConfig" "priorityClassName" "affinity" "tolerations" -}}
{{- $spec := include "gonbad.copy" (dict "from" .spec "fields" $fields) | fromJson -}}
{{- $_ := set $spec "securityContext" (include "gonbad.podSecurity" . | fromJson) -}}
{{- with (.spec.serviceAccount | default dict).name -}}
{{- $_ := set $spec "serviceAccountName" . -}}
{{- else -}}
{{- /* An application that names no account does not speak to the cluster, so its pods carry no token. */ -}}
{{- $_ := set $spec "automountServiceAccountToken" false -}}
{{- end -}}
{{- if and (eq (default "" .spec.dnsPolicy) "None") (not .spec.dnsConfig) -}}
{{- fail (printf "%s.dnsPolicy: None leaves the pod without any name server; give %s.dnsConfig too" .path .path) -}}
{{- end -}}
{{- with include "gonbad.strings" .spec.nodeSelector | fromJson -}}{{- $_ := set $spec "nodeSelector" . -}}{{- end -}}
{{- with include "gonbad.pullSecretNames" . | fromJsonArray -}}{{- $_ := set $spec "imagePullSecrets" . -}}{{- end -}}
{{- if and .spec.antiAffinityMode (not .spec.affinity) -}}
{{- $_ := set $spec "affinity" (include "gonbad.antiAffinity" . | fromJson) -}}
{{- end -}}
{{- with include "gonbad.spread" . | fromJsonArray -}}{{- $_ := set $spec "topologySpreadConstraints" . -}}{{- end -}}
{{- $w := . -}}
{{- $host := include "gonbad.onHost" . -}}
{{- range $list := list "initContainers" "containers" -}}
{{- $out := list -}}
{{- range index $w $list -}}
{{- $out = append $out (include "gonbad.container" (dict "root" $root "workload" $w "container" . "host" $host) | fromJson) -}}
{{- end -}}
{{- with $out -}}{{- $_ := set $spec $list . -}}{{- end -}}
{{- end -}}
{{- with include "gonbad.podVolumes" . | fromJsonArray -}}{{- $_ := set $spec "volumes" . -}}{{- end -}}
{{- toJson (dict "metadata" $metadata "spec" $spec) -}}
{{- end -}}

{{- /*
gonbad.spread: JSON array of topologySpreadConstraints; the short form counts where there is no long one. A selector may
be written as plain labels. Input: a workload and root.
*/ -}}
{{- define "gonbad.spread" -}}
{{- $out := list -}}
{{- range .spec.topologySpreadConstraints -}}
{{- $out = append $out (set (deepCopy .) "labelSelector" (include "gonbad.labelSelector" .labelSelector | fromJson)) -}}
{{- end -}}
{{- if and .spec.topologySpreadConstraintsSkew (not $out) -}}
{{- $own := dict "matchLabels" (include "gonbad.selector" . | fromJson) -}}
{{- $out = list (dict "maxSkew" .spec.topologySpreadConstraintsSkew "topologyKey" "kubernetes.io/hostname" "whenUnsatisfiable" "ScheduleAnyway" "labelSelector" $own) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.labelSelector: JSON of a native label selector, for which plain labels may stand. Input: the selector. */ -}}
{{- define "gonbad.labelSelector" -}}
{{- if or (hasKey . "matchLabels") (hasKey . "matchExpressions") (empty .) -}}
{{- toJson . -}}
{{- else -}}
{{- toJson (dict "matchLabels" (include "gonbad.strings" . | fromJson)) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.antiAffinity: JSON of an affinity that keeps the workload's own pods apart. Input: a workload and root. */ -}}
{{- define "gonbad.antiAffinity" -}}
{{- $own := dict "matchLabels" (include "gonbad.selector" . | fromJson) -}}
{{- $mode := .spec.antiAffinityMode -}}
{{- $terms := list -}}
{{- range .spec.antiAffinityTopologyKeys | default (list "kubernetes.io/hostname") -}}
{{- $term := dict "topologyKey" . "labelSelector" $own -}}
{{- $terms = append $terms (ternary $term (dict "weight" 100 "podAffinityTerm" $term) (eq $mode "required")) -}}
{{- end -}}
{{- toJson (dict "podAntiAffinity" (dict (printf "%sDuringSchedulingIgnoredDuringExecution" $mode) $terms)) -}}
{{- end -}}

{{- /*
gonbad.checksums: JSON of the annotations that make the pods roll when a setting they use changes: the shared keys that
usedSharedConfigs and usedSharedSecrets name (all of them when absent) and the static files they mount. A key that is
named and not there yet counts too: the pods roll when it appears. Input: a workload and root.
*/ -}}
{{- define "gonbad.checksums" -}}
{{- $out := dict -}}
{{- $global := .root.Values.global | default dict -}}
{{- $spec := .spec -}}
{{- range list (list "configs" "usedSharedConfigs" "sharedConfigs") (list "secrets" "usedSharedSecrets" "sharedSecrets") -}}
{{- $used := index $spec (index . 1) -}}
{{- $all := include "gonbad.strings" (index $global (index . 2)) | fromJson -}}
{{- if not (kindIs "invalid" $used) -}}
{{- $picked := dict -}}
{{- range $used -}}{{- if hasKey $all . -}}{{- $_ := set $picked . (index $all .) -}}{{- end -}}{{- end -}}
{{- $all = $picked -}}
{{- end -}}
{{- if $all -}}
{{- $_ := set $out (printf "checksum/shared-%s" (index . 0)) (toJson $all | sha256sum) -}}
{{- end -}}
{{- end -}}
{{- $files := dict -}}
{{- $static := (.root.Values.gonbad | default dict).staticFiles | default dict -}}
{{- range concat .initContainers .containers -}}
{{- range .spec.fileMounts -}}{{- $_ := set $files .name (index $static .name | toString) -}}{{- end -}}
{{- end -}}
{{- with $files -}}{{- $_ := set $out "checksum/static-files" (toJson . | sha256sum) -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.pullSecretNames: JSON array of {name}, the global ones first, each once. Input: a workload and root. */ -}}
{{- define "gonbad.pullSecretNames" -}}
{{- $global := .root.Values.global | default dict -}}
{{- $names := list -}}
{{- range concat ($global.commonImagePullSecrets | default list) (.spec.imagePullSecrets | default list) -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $out := list -}}
{{- range uniq $names -}}{{- $out = append $out (dict "name" .) -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}
