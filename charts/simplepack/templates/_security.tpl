{{- /*
What pods may do. An image whose user is not root, which the values say with runAsNonRoot: true or a runAsUser above 0,
gets everything that the restricted Pod Security Standard asks for. Any other image may start as root, and then needs
some capabilities; it gets what works with ordinary images all the same: the runtime's seccomp profile and no way to
gain rights. What the values set themselves is never changed.
*/ -}}

{{- /* gonbad.podSecurity: JSON of a pod's securityContext. Input: a workload. */ -}}
{{- define "gonbad.podSecurity" -}}
{{- $given := .spec.securityContext | default dict -}}
{{- $path := .path -}}
{{- range list "allowPrivilegeEscalation" "capabilities" "privileged" "procMount" "readOnlyRootFilesystem" -}}
{{- if hasKey $given . -}}
{{- fail (printf "%s.securityContext.%s: is a setting of a container; move it to %s.containers.NAME.securityContext, for which a workload of kind simple has to become a deployment" $path . $path) -}}
{{- end -}}
{{- end -}}
{{- toJson (hasKey $given "seccompProfile" | ternary $given (merge (dict "seccompProfile" (dict "type" "RuntimeDefault")) $given)) -}}
{{- end -}}

{{- /* gonbad.containerSecurity: JSON of a container's securityContext. Input: workload, container {spec, ports}, host. */ -}}
{{- define "gonbad.containerSecurity" -}}
{{- $pod := .workload.spec.securityContext | default dict -}}
{{- $given := .container.spec.securityContext | default dict -}}
{{- $path := .container.path -}}
{{- range list "fsGroup" "fsGroupChangePolicy" "supplementalGroups" "supplementalGroupsPolicy" "sysctls" -}}
{{- if hasKey $given . -}}
{{- fail (printf "%s.securityContext.%s: is a setting of the pod; move it to the workload's securityContext" $path .) -}}
{{- end -}}
{{- end -}}
{{- $out := deepCopy $given -}}
{{- $capabilities := $given.capabilities | default dict -}}
{{- $all := false -}}
{{- range $capabilities.add -}}{{- if has . (list "ALL" "SYS_ADMIN" "CAP_SYS_ADMIN") -}}{{- $all = true -}}{{- end -}}{{- end -}}
{{- /* Kubernetes refuses to combine these rights with a container that may not gain any. */ -}}
{{- if not (or (hasKey $given "allowPrivilegeEscalation") $given.privileged $all) -}}
{{- $_ := set $out "allowPrivilegeEscalation" false -}}
{{- end -}}
{{- if and (include "gonbad.nonRoot" (dict "pod" $pod "container" $given)) (not (or .host $given.privileged $all)) -}}
{{- if not (or (hasKey $given "runAsNonRoot") (hasKey $pod "runAsNonRoot")) -}}{{- $_ := set $out "runAsNonRoot" true -}}{{- end -}}
{{- if not (hasKey $capabilities "drop") -}}
{{- $kept := deepCopy $capabilities -}}
{{- $_ := set $kept "drop" (list "ALL") -}}
{{- if not (hasKey $kept "add") -}}
{{- range .container.ports -}}
{{- if lt (int64 .number) 1024 -}}{{- $_ := set $kept "add" (list "NET_BIND_SERVICE") -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $out "capabilities" $kept -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.nonRoot: "true" when the values say that the user is not root; the container's word counts first. Input: pod, container. */ -}}
{{- define "gonbad.nonRoot" -}}
{{- $said := ternary .container.runAsNonRoot .pod.runAsNonRoot (hasKey .container "runAsNonRoot") -}}
{{- $user := ternary .container.runAsUser .pod.runAsUser (hasKey .container "runAsUser") -}}
{{- if $said -}}true
{{- else if and (kindIs "invalid" $said) (not (kindIs "invalid" $user)) -}}
{{- if gt (int64 (include "gonbad.scalar" $user)) 0 -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.onHost: "true" when the pod shares the node's network or folders; it is a part of the node then. Input: workload, root. */ -}}
{{- define "gonbad.onHost" -}}
{{- $on := .spec.hostNetwork -}}
{{- $volumes := (.root.Values.gonbad | default dict).volumes | default dict -}}
{{- range concat .initContainers .containers -}}
{{- range .spec.volumeMounts -}}
{{- if eq "hostPath" (((index $volumes .name) | default dict).type | default "") -}}{{- $on = true -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- if $on -}}true{{- end -}}
{{- end -}}
