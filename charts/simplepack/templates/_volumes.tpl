{{- /* Volumes: what containers mount, what pods carry, which claims exist. */ -}}

{{- /*
gonbad.mounts: JSON array of a container's volumeMounts. A mount of a volume that is switched off goes with it, one of
a volume that does not exist is refused. Input: root, workload, container.
*/ -}}
{{- define "gonbad.mounts" -}}
{{- $gonbad := .root.Values.gonbad | default dict -}}
{{- $volumes := $gonbad.volumes | default dict -}}
{{- $templates := .workload.spec.volumeClaimTemplates | default dict -}}
{{- $path := .container.path -}}
{{- $out := list -}}
{{- range $i, $mount := .container.spec.volumeMounts -}}
{{- if not (or (hasKey $volumes .name) (hasKey $templates .name)) -}}
{{- fail (printf "%s.volumeMounts[%d].name: there is no volume %s; define gonbad.volumes.%s (enabled: false there switches a volume and its mounts off), or remove the mount" $path $i .name .name) -}}
{{- end -}}
{{- if include "gonbad.enabled" (ternary (index $templates .name) (index $volumes .name) (hasKey $templates .name)) -}}
{{- $out = append $out (include "gonbad.copy" (dict "from" . "fields" (list "name" "mountPath" "subPath" "readOnly")) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- $files := $gonbad.staticFiles | default dict -}}
{{- range $i, $mount := .container.spec.fileMounts -}}
{{- if not (hasKey $files .name) -}}
{{- fail (printf "%s.fileMounts[%d].name: there is no file %s; define it in gonbad.staticFiles" $path $i .name) -}}
{{- end -}}
{{- $volume := ternary "gonbad-executables" "gonbad-files" (default false .executable) -}}
{{- $out = append $out (dict "name" $volume "mountPath" .mountPath "subPath" .name "readOnly" true) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.podVolumes: JSON array of the volumes that the pod's containers mount. Input: a workload and root. */ -}}
{{- define "gonbad.podVolumes" -}}
{{- $root := .root -}}
{{- $w := . -}}
{{- $names := list -}}
{{- range concat .initContainers .containers -}}
{{- range include "gonbad.mounts" (dict "root" $root "workload" $w "container" .) | fromJsonArray -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- $templates := .spec.volumeClaimTemplates | default dict -}}
{{- $volumes := ($root.Values.gonbad | default dict).volumes | default dict -}}
{{- $out := list -}}
{{- range uniq $names | sortAlpha -}}
{{- if eq . "gonbad-files" -}}
{{- $out = append $out (dict "name" . "configMap" (dict "name" (include "gonbad.staticFilesName" $root) "defaultMode" 292)) -}}
{{- else if eq . "gonbad-executables" -}}
{{- $out = append $out (dict "name" . "configMap" (dict "name" (include "gonbad.staticFilesName" $root) "defaultMode" 365)) -}}
{{- else if not (hasKey $templates .) -}}
{{- $volume := include "gonbad.podVolume" (dict "root" $root "key" . "volume" (index $volumes .)) | fromJson -}}
{{- $out = append $out (set $volume "name" .) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.podVolume: JSON of a pod volume's source. Input: root, key, volume. */ -}}
{{- define "gonbad.podVolume" -}}
{{- $v := .volume -}}
{{- $path := printf "gonbad.volumes.%s" .key -}}
{{- $type := $v.type -}}
{{- if eq $type "persistentVolumeClaim" -}}
{{- toJson (dict "persistentVolumeClaim" (dict "claimName" (include "gonbad.claimName" .))) -}}
{{- else if eq $type "existingPVC" -}}
{{- $claim := dict "claimName" (include "gonbad.need" (dict "value" $v.name "path" (printf "%s.name" $path) "what" "the claim's name")) -}}
{{- if $v.readOnly -}}{{- $_ := set $claim "readOnly" true -}}{{- end -}}
{{- toJson (dict "persistentVolumeClaim" $claim) -}}
{{- else if eq $type "ephemeral" -}}
{{- toJson (dict "ephemeral" (dict "volumeClaimTemplate" (dict "spec" (include "gonbad.claimSpec" (dict "claim" $v "path" $path) | fromJson)))) -}}
{{- else if eq $type "emptyDir" -}}
{{- toJson (dict "emptyDir" dict) -}}
{{- else if has $type (list "secret" "configMap") -}}
{{- $source := dict (ternary "secretName" "name" (eq $type "secret")) (include "gonbad.need" (dict "value" $v.name "path" (printf "%s.name" $path) "what" "the object's name")) -}}
{{- $items := list -}}
{{- range $v.items -}}
{{- $item := dict "key" .key "path" .path -}}
{{- if not (kindIs "invalid" .mode) -}}
{{- $_ := set $item "mode" (ternary (toDecimal .mode) .mode (kindIs "string" .mode)) -}}
{{- end -}}
{{- $items = append $items $item -}}
{{- end -}}
{{- with $items -}}{{- $_ := set $source "items" . -}}{{- end -}}
{{- toJson (dict $type $source) -}}
{{- else if eq $type "hostPath" -}}
{{- $host := include "gonbad.need" (dict "value" $v.path "path" (printf "%s.path" $path) "what" "the path on the node") -}}
{{- $hostType := include "gonbad.need" (dict "value" $v.hostPathType "path" (printf "%s.hostPathType" $path) "what" "one such as Directory or File") -}}
{{- toJson (dict "hostPath" (dict "path" $host "type" $hostType)) -}}
{{- else -}}
{{- fail (printf "%s.type: is missing; give one of persistentVolumeClaim, existingPVC, ephemeral, emptyDir, secret, configMap, hostPath" $path) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.need: the value, or an error that says what is missing. Input: value, path, what. */ -}}
{{- define "gonbad.need" -}}
{{- if or (kindIs "invalid" .value) (eq (toString .value) "") -}}
{{- fail (printf "%s: is missing; give %s" .path .what) -}}
{{- end -}}
{{- include "gonbad.scalar" .value -}}
{{- end -}}

{{- /* gonbad.claimName: the name of the claim that a volume of type persistentVolumeClaim makes. Input: root, key. */ -}}
{{- define "gonbad.claimName" -}}
{{- printf "%s-%s" .root.Release.Name .key -}}
{{- end -}}

{{- /* gonbad.claimSpec: JSON of a claim's spec. Input: claim {size, accessMode, storageClass}, path, accessMode (default). */ -}}
{{- define "gonbad.claimSpec" -}}
{{- $size := include "gonbad.need" (dict "value" .claim.size "path" (printf "%s.size" .path) "what" "a size such as 1Gi") -}}
{{- $mode := include "gonbad.need" (dict "value" (.claim.accessMode | default .accessMode) "path" (printf "%s.accessMode" .path) "what" "one of ReadWriteOnce, ReadWriteMany, ReadOnlyMany") -}}
{{- $out := dict "accessModes" (list $mode) "resources" (dict "requests" (dict "storage" $size)) -}}
{{- with .claim.storageClass -}}{{- $_ := set $out "storageClassName" . -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.claimTemplates: JSON array of a StatefulSet's claims; they can never change, so their labels do not either. */ -}}
{{- define "gonbad.claimTemplates" -}}
{{- $w := . -}}
{{- $out := list -}}
{{- range $name, $claim := .spec.volumeClaimTemplates -}}
{{- if include "gonbad.enabled" $claim -}}
{{- $path := printf "%s.volumeClaimTemplates.%s" $w.path $name -}}
{{- $spec := include "gonbad.claimSpec" (dict "claim" $claim "path" $path "accessMode" "ReadWriteOnce") | fromJson -}}
{{- $out = append $out (dict "apiVersion" "v1" "kind" "PersistentVolumeClaim" "metadata" (dict "name" $name "labels" (include "gonbad.selector" $w | fromJson)) "spec" $spec) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.claims: one PersistentVolumeClaim for every enabled volume of that type. Input: the root. */ -}}
{{- define "gonbad.claims" -}}
{{- $root := . -}}
{{- range $key, $volume := (.Values.gonbad | default dict).volumes -}}
{{- if include "gonbad.enabled" $volume -}}
{{- include "gonbad.checkName" (dict "name" $key "path" "gonbad.volumes") -}}
{{- if eq (default "" $volume.type) "persistentVolumeClaim" -}}
{{- $metadata := include "gonbad.metadata" (dict "root" $root "name" (include "gonbad.claimName" (dict "root" $root "key" $key))) | fromJson -}}
{{- $spec := include "gonbad.claimSpec" (dict "claim" $volume "path" (printf "gonbad.volumes.%s" $key)) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "PersistentVolumeClaim" "metadata" $metadata "spec" $spec) -}}
{{- else -}}
{{- /* A volume that nothing mounts is looked at too, so that its mistake is found before its first use. */ -}}
{{- $_ := include "gonbad.podVolume" (dict "root" $root "key" $key "volume" $volume) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
