#!/bin/sh
# Ready is a master, and a replica that has what the master has. Pods are updated one after the other by this.
case $(timeout 4 redis-cli info replication) in
    *role:master*) exit 0 ;;
    *master_link_status:up*) exit 0 ;;
esac
echo "the replica has no connection to its master"
exit 1
