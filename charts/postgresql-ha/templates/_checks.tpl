{{- /*
postgresql-ha.check refuses what Stolon could and the operator cannot, where leaving it out would change what people rely on.
*/ -}}
{{- define "postgresql-ha.check" -}}
{{- if and .Values.mode (ne .Values.mode "standalone") -}}
{{- fail "mode: a standby of a server elsewhere is not supported by this chart; write a Cluster of CloudNativePG with spec.replica" -}}
{{- end -}}
{{- if .Values.standbyConfig -}}
{{- fail "standbyConfig: a standby of a server elsewhere is not supported by this chart; write a Cluster of CloudNativePG with spec.replica" -}}
{{- end -}}
{{- if .Values.clusterSpec -}}
{{- fail "clusterSpec: is Stolon's; use pgParameters, synchronous and keeper instead" -}}
{{- end -}}
{{- if .Values.forceInitCluster -}}
{{- fail "forceInitCluster: would delete all data; remove the pack and its volumes instead" -}}
{{- end -}}
{{- if .Values.superuserPasswordFile -}}
{{- fail "superuserPasswordFile: the operator reads no files; use superuserSecret" -}}
{{- end -}}
{{- if (.Values.postgresqlUpgrade | default dict).enabled -}}
{{- fail "postgresqlUpgrade.enabled: not needed; a higher version in image.tag makes the operator upgrade the database, which is down meanwhile" -}}
{{- end -}}
{{- if (.Values.adminer | default dict).enabled -}}
{{- fail "adminer.enabled: is not part of this chart; install it as a pack of simplepack" -}}
{{- end -}}
{{- if not .Values.persistence.enabled -}}
{{- fail "persistence.enabled: the operator needs volumes; remove it" -}}
{{- end -}}
{{- range $name := list "volumes" "volumeMounts" -}}
{{- if index $.Values.keeper $name -}}
{{- fail (printf "keeper.%s: the operator makes the pods and takes no volumes of others; remove it" $name) -}}
{{- end -}}
{{- end -}}
{{- if ge (int .Values.synchronous.number) (int .Values.keeper.replicaCount) -}}
{{- fail (printf "synchronous.number: %d standbys are wanted and keeper.replicaCount gives %d; raise keeper.replicaCount" (int .Values.synchronous.number) (sub (int .Values.keeper.replicaCount) 1)) -}}
{{- end -}}
{{- $seen := dict -}}
{{- range $i, $one := .Values.databases -}}
{{- if $one.databaseCreationExtraArguments -}}
{{- fail (printf "databases[%d].databaseCreationExtraArguments: the operator takes no SQL; remove it" $i) -}}
{{- end -}}
{{- if hasKey $seen $one.database -}}
{{- fail (printf "databases[%d].database: %s is there twice; remove one" $i $one.database) -}}
{{- end -}}
{{- $_ := set $seen $one.database true -}}
{{- end -}}
{{- if .Values.backup.enabled -}}{{- include "postgresql-ha.checkBackup" . -}}{{- end -}}
{{- end -}}

{{- define "postgresql-ha.checkBackup" -}}
{{- $backup := .Values.backup -}}
{{- if eq $backup.provider "local" -}}
{{- fail "backup.provider: the operator has no backups to a volume; use s3" -}}
{{- end -}}
{{- if eq $backup.strategy "exclusive-standby" -}}
{{- fail "backup.strategy: there are no servers for backups alone; use prefer-standby, and one more in keeper.replicaCount" -}}
{{- end -}}
{{- if eq $backup.strategy "only-standby" -}}
{{- fail "backup.strategy: the operator backs up the primary when there is no standby, and cannot be told not to; use prefer-standby, and one more in keeper.replicaCount" -}}
{{- end -}}
{{- if $backup.s3.existingSecret -}}
{{- include "postgresql-ha.checkBackupSecret" . -}}
{{- else if not (and $backup.s3.accessKey $backup.s3.secretKey) -}}
{{- fail "backup.s3: there are no keys; give accessKey and secretKey, or existingSecret" -}}
{{- else if not $backup.s3.bucket -}}
{{- fail "backup.s3.bucket: is empty; name the bucket" -}}
{{- end -}}
{{- end -}}

{{- /* postgresql-ha.checkBackupSecret: a Secret that is not there yet may come later, unless the bucket has to be known from it. */ -}}
{{- define "postgresql-ha.checkBackupSecret" -}}
{{- $s3 := .Values.backup.s3 -}}
{{- $data := include "postgresql-ha.backupSecret" . | fromJson -}}
{{- if $data -}}
{{- range $value, $key := dict "accessKeyKey" $s3.accessKeyKey "secretKeyKey" $s3.secretKeyKey -}}
{{- if not (index $data $key) -}}
{{- fail (printf "backup.s3.existingSecret: the Secret %s has no key %s; add it, or name another in backup.s3.%s" $s3.existingSecret $key $value) -}}
{{- end -}}
{{- end -}}
{{- if not (or $s3.bucket $data.bucket) -}}
{{- fail (printf "backup.s3.bucket: is empty, and the Secret %s has no key bucket; give one of them" $s3.existingSecret) -}}
{{- end -}}
{{- else if not $s3.bucket -}}
{{- fail (printf "backup.s3.bucket: is empty, and there is no Secret %s in the namespace %s to read it from; create the Secret with the keys %s, %s and bucket, or give the bucket" $s3.existingSecret .Release.Namespace $s3.accessKeyKey $s3.secretKeyKey) -}}
{{- end -}}
{{- end -}}

{{- /*
postgresql-ha.idle: the given values that have no meaning here, by name, joined. The cluster's annotation shows them.
*/ -}}
{{- define "postgresql-ha.idle" -}}
{{- $idle := list -}}
{{- range list
      "clusterName" "debug" "dockerize" "image.keeperTag" "persistence.accessModes" "rbac" "serviceAccount.create" "serviceAccount.name"
      "replicationUsername" "replicationPassword" "replicationPasswordFile" "replicationSecret" "store" "etcd" "sentinel" "slaveProxy"
      "proxy.replicaCount" "proxy.resources" "proxy.antiAffinityMode" "proxy.podDisruptionBudget" "proxy.networkPolicy" "proxy.readinessProbe"
      "proxy.annotations" "proxy.priorityClassName" "proxy.affinity" "proxy.nodeSelector" "proxy.tolerations" "proxy.extraEnv" "proxy.service.port"
      "keeper.uid_prefix" "keeper.podSecurityContext" "keeper.updateStrategy" "keeper.service" "keeper.hooks"
      "keeper.readinessProbe" "keeper.podDisruptionBudget.minAvailable" "keeper.podDisruptionBudget.maxUnavailable"
      "metrics.image" "metrics.database" "metrics.port" "metrics.defaultCustomMetrics" "metrics.postgres_exporter_yml"
      "serviceMonitor.labels" "serviceMonitor.namespace" "serviceMonitor.interval" "serviceMonitor.scrapeTimeout"
      "backup.activeDeadlineSeconds" "backup.extraArgs" "backup.image" "backup.persistence" "backup.resources" "backup.affinity" "backup.antiAffinityMode" -}}
{{- $at := $.Values -}}
{{- range splitList "." . -}}
{{- if kindIs "map" $at -}}{{- $at = index $at . -}}{{- else -}}{{- $at = dict -}}{{- end -}}
{{- end -}}
{{- if or $at (kindIs "bool" $at) -}}{{- $idle = append $idle . -}}{{- end -}}
{{- end -}}
{{- $policy := .Values.keeper.networkPolicy | default dict -}}
{{- if and $policy.metricsExtraFrom (not $policy.enabled) -}}{{- $idle = append $idle "keeper.networkPolicy.metricsExtraFrom" -}}{{- end -}}
{{- join ", " $idle -}}
{{- end -}}
