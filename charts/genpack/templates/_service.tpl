{{- /* Services, their monitors, and services outside the cluster. */ -}}

{{- /* gonbad.service: the Service and the ServiceMonitor of a workload that has ports. Input: a workload and root. */ -}}
{{- define "gonbad.service" -}}
{{- $ports := list -}}
{{- range .containers -}}{{- $ports = concat $ports .ports -}}{{- end -}}
{{- if and $ports (ne .kind "cronjob") -}}
{{- $given := .spec.service | default dict -}}
{{- $type := $given.type | default "ClusterIP" -}}
{{- if and (eq $type "Headless") (ne .kind "statefulset") -}}
{{- fail (printf "%s.service.type: Headless is for statefulsets; use ClusterIP or NodePort" .path) -}}
{{- end -}}
{{- $spec := dict "type" (ternary "ClusterIP" $type (eq $type "Headless")) "selector" (include "gonbad.selector" . | fromJson) -}}
{{- if eq $type "Headless" -}}{{- $_ := set $spec "clusterIP" "None" -}}{{- end -}}
{{- $_ := set $spec "ports" (include "gonbad.servicePorts" (dict "ports" $ports "type" $type "path" .path) | fromJsonArray) -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "name" .fullname "component" .component "labels" $given.labels "annotations" $given.annotations) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Service" "metadata" $metadata "spec" $spec) -}}
{{- include "gonbad.serviceMonitor" (dict "root" .root "name" .fullname "component" .component "ports" $ports) -}}
{{- end -}}
{{- end -}}

{{- /*
gonbad.serviceMonitor: a ServiceMonitor with one endpoint for each port that has a scrapePath, nothing when none has.
Input: root, name, component, ports.
*/ -}}
{{- define "gonbad.serviceMonitor" -}}
{{- $endpoints := list -}}
{{- range .ports -}}
{{- if .scrapePath -}}
{{- $endpoint := dict "port" .name "path" .scrapePath -}}
{{- with .scrapeInterval -}}{{- $_ := set $endpoint "interval" (include "gonbad.duration" .) -}}{{- end -}}
{{- with .scrapeTimeout -}}{{- $_ := set $endpoint "scrapeTimeout" (include "gonbad.duration" .) -}}{{- end -}}
{{- $endpoints = append $endpoints (mergeOverwrite $endpoint (.scrapeExtraProperties | default dict)) -}}
{{- end -}}
{{- end -}}
{{- if $endpoints -}}
{{- $own := .root.Release.Namespace -}}
{{- $monitor := (((.root.Values.global | default dict).metrics | default dict).serviceMonitor | default dict) -}}
{{- $namespace := $monitor.namespace | default $own -}}
{{- $spec := dict "endpoints" $endpoints "selector" (dict "matchLabels" (include "gonbad.selector" . | fromJson)) -}}
{{- if ne $namespace $own -}}{{- $_ := set $spec "namespaceSelector" (dict "matchNames" (list $own)) -}}{{- end -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "name" .name "component" .component "namespace" $namespace) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "monitoring.coreos.com/v1" "kind" "ServiceMonitor" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.externalServices: Services for what runs elsewhere, under a name or at addresses. Input: the root. */ -}}
{{- define "gonbad.externalServices" -}}
{{- $root := . -}}
{{- $gonbad := .Values.gonbad | default dict -}}
{{- range $key, $given := $gonbad.externalServices -}}
{{- if include "gonbad.enabled" $given -}}
{{- include "gonbad.checkName" (dict "name" $key "path" "gonbad.externalServices") -}}
{{- $path := printf "gonbad.externalServices.%s" $key -}}
{{- if include "gonbad.enabled" (index ($gonbad.workloads | default dict) $key) -}}
{{- fail (printf "%s: a workload has the same name, so both would make the Service %s-%s; rename one of them" $path $root.Release.Name $key) -}}
{{- end -}}
{{- $ports := include "gonbad.ports" (dict "ports" $given.ports "path" $path) | fromJsonArray -}}
{{- $name := include "gonbad.fullname" (dict "root" $root "key" $key "spec" dict "path" $path "limit" 63) -}}
{{- $e := dict "root" $root "component" $key "name" $name "given" $given "ports" $ports "path" $path -}}
{{- if not $ports -}}
{{- fail (printf "%s.ports: no port is given and enabled; give at least one" $path) -}}
{{- end -}}
{{- if eq (empty $given.externalName) (empty $given.externalIPs) -}}
{{- fail (printf "%s: give either externalName or externalIPs" $path) -}}
{{- end -}}
{{- include "gonbad.externalService" $e -}}
{{- include "gonbad.serviceMonitor" $e -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.externalService: the Service, and its addresses where they are given. Input: root, component, name, given, ports, path. */ -}}
{{- define "gonbad.externalService" -}}
{{- $metadata := include "gonbad.metadata" . | fromJson -}}
{{- $ports := include "gonbad.servicePorts" (dict "ports" .ports "type" "ClusterIP" "path" .path) | fromJsonArray -}}
{{- range $ports -}}{{- $_ := unset . "targetPort" -}}{{- end -}}
{{- if .given.externalName -}}
{{- $host := include "gonbad.host" (dict "host" .given.externalName "path" (printf "%s.externalName" .path)) -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Service" "metadata" $metadata "spec" (dict "type" "ExternalName" "externalName" $host "ports" $ports)) -}}
{{- else -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Service" "metadata" $metadata "spec" (dict "type" "ClusterIP" "ports" $ports)) -}}
{{- include "gonbad.endpointSlices" . -}}
{{- end -}}
{{- end -}}

{{- /*
gonbad.endpointSlices: the addresses of a Service without selector, one slice for each family of addresses. Prometheus
finds targets through the older Endpoints by default, so a port to be scraped gets those too, marked so that the
cluster does not mirror them into further slices. Input: as gonbad.externalService.
*/ -}}
{{- define "gonbad.endpointSlices" -}}
{{- $e := . -}}
{{- $ports := list -}}
{{- $scraped := false -}}
{{- range .ports -}}
{{- $ports = append $ports (dict "name" .name "port" .number "protocol" .protocol) -}}
{{- if .scrapePath -}}{{- $scraped = true -}}{{- end -}}
{{- end -}}
{{- $families := dict -}}
{{- range .given.externalIPs -}}
{{- $family := ternary "IPv6" "IPv4" (contains ":" .) -}}
{{- $_ := set $families $family (append (index $families $family | default list) .) -}}
{{- end -}}
{{- range $family, $addresses := $families -}}
{{- $labels := dict "kubernetes.io/service-name" $e.name "endpointslice.kubernetes.io/managed-by" (lower $e.root.Release.Service) -}}
{{- $metadata := include "gonbad.metadata" (dict "root" $e.root "component" $e.component "name" (printf "%s-%s" $e.name (lower $family)) "labels" $labels) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "discovery.k8s.io/v1" "kind" "EndpointSlice" "metadata" $metadata "addressType" $family "ports" $ports "endpoints" (list (dict "addresses" $addresses))) -}}
{{- end -}}
{{- if $scraped -}}
{{- $addresses := list -}}
{{- range .given.externalIPs -}}{{- $addresses = append $addresses (dict "ip" .) -}}{{- end -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "component" .component "name" .name "labels" (dict "endpointslice.kubernetes.io/skip-mirror" "true")) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "v1" "kind" "Endpoints" "metadata" $metadata "subsets" (list (dict "addresses" $addresses "ports" $ports))) -}}
{{- end -}}
{{- end -}}
