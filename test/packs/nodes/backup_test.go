package nodes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const backupBucket = "database-backups"

const backedUpPack = `
chart: {name: postgresql-ha, version: ~=0.6.17, repository: {name: kubit-packs}}
values:
  keeper: {replicaCount: 1, resources: {requests: {cpu: 50m, memory: 200Mi}}}
  persistence: {size: 500Mi}
  databases: [{database: shop, username: shop-owner}]
  backup:
    enabled: true
    maxBackups: 7
    s3: {bucket: %s, endpoint: %q, region: us-east-1, accessKey: %q, secretKey: %q}
`

// restoredPack is what the README of postgresql-ha tells people to write.
const restoredPack = `
chart: {name: genpack, repository: {name: kubit-packs}}
values:
  gonbad:
    rawResources:
      - apiVersion: v1
        kind: Secret
        metadata: {name: backup}
        stringData: {accessKey: %[3]q, secretKey: %[4]q}
      - apiVersion: postgresql.cnpg.io/v1
        kind: Cluster
        metadata: {name: restored}
        spec:
          instances: 1
          imageName: ghcr.io/cloudnative-pg/postgresql:15
          storage: {size: 500Mi}
          bootstrap: {recovery: {source: backup}}
          externalClusters:
            - name: backup
              barmanObjectStore:
                serverName: shop-postgresql-ha
                destinationPath: s3://%[1]s/
                endpointURL: %[2]q
                s3Credentials:
                  accessKeyId: {name: backup, key: accessKey}
                  secretAccessKey: {name: backup, key: secretKey}
`

// TestBackup backs a database up to the cluster's object store, loses it, and restores it in another Pack: what was written
// before the backup, and what was archived after it.
func TestBackup(t *testing.T) {
	const name = "shop-postgresql-ha"
	keys := makeBucket(t)
	installOperator(t)
	pack := install(t, name, fmt.Sprintf(backedUpPack, backupBucket, cluster.Inside.S3, keys.AccessKeyID, keys.SecretAccessKey))
	defer remove(t, pack)
	serving(t, name, name, 1)
	psql(t, name, "create table orders (n bigint)")
	psql(t, name, "insert into orders select generate_series(1, 100)")
	backUp(t, name)
	psql(t, name, "insert into orders select generate_series(101, 200)")
	archive(t, name)
	remove(t, pack)

	restored := install(t, "restored", fmt.Sprintf(restoredPack, backupBucket, cluster.Inside.S3, keys.AccessKeyID, keys.SecretAccessKey))
	defer remove(t, restored)
	serving(t, "restored", "restored", 1)
	if rows := strings.TrimSpace(psql(t, "restored", "select count(*), sum(n) from orders")); rows != "200|20100" {
		t.Errorf("the restored database has the rows %q, want 200, which add up to 20100", rows)
	}
}

// makeBucket makes the bucket and returns the object store's keys.
func makeBucket(t *testing.T) credentials.Value {
	t.Helper()
	file := credentials.NewFileAWSCredentials(cluster.S3Keys, "default")
	store, err := minio.New(strings.TrimPrefix(cluster.URLs.S3, "http://"), &minio.Options{Creds: file})
	check(t, err)
	check(t, store.MakeBucket(t.Context(), backupBucket, minio.MakeBucketOptions{}))
	keys, err := file.GetWithContext(nil)
	check(t, err)
	return keys
}

// backUp makes a base backup now.
func backUp(t *testing.T, name string) {
	t.Helper()
	applyText(t, name, fmt.Sprintf("{apiVersion: postgresql.cnpg.io/v1, kind: Backup, metadata: {name: first}, spec: {method: barmanObjectStore, cluster: {name: %s}}}", name))
	start := time.Now()
	eventually(t, 6*time.Minute, "the backup", func() error {
		backup := &unstructured.Unstructured{}
		backup.SetAPIVersion("postgresql.cnpg.io/v1")
		backup.SetKind("Backup")
		if err := cluster.client.Get(t.Context(), types.NamespacedName{Namespace: name, Name: "first"}, backup); err != nil {
			return err
		}
		phase, _, _ := unstructured.NestedString(backup.Object, "status", "phase")
		if phase != "completed" {
			return fmt.Errorf("its phase is %q: %v", phase, backup.Object["status"])
		}
		return nil
	})
	t.Logf("the backup took %s", time.Since(start).Round(time.Second))
}

// archive waits until all that was written is in the object store.
func archive(t *testing.T, name string) {
	t.Helper()
	file := strings.TrimSpace(psql(t, name, "select pg_walfile_name(pg_current_wal_lsn())"))
	psql(t, name, "select pg_switch_wal()")
	eventually(t, 2*time.Minute, "archiving "+file, func() error {
		if out := psql(t, name, fmt.Sprintf("select coalesce(last_archived_wal, '') >= '%s' from pg_stat_archiver", file)); strings.TrimSpace(out) != "t" {
			return fmt.Errorf("the archiver has not come to it: %s", psql(t, name, "select * from pg_stat_archiver"))
		}
		return nil
	})
}
