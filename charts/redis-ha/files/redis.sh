#!/bin/sh
# Writes the configuration and becomes the server. Who is the master is asked of the Sentinels, and decided by them.
set -eu
umask 077
. /scripts/topology.sh

own=$(await_address "$index")
tries=0
while :; do
    found=$(master)
    # A master that starts again may have lost what its replicas still have. So it waits until the Sentinels have chosen
    # one of them. Without replicas this is the first start of all, or there is nobody to wait for.
    if [ -n "$found" ] && [ "$found" != "$index" ]; then
        break
    elif [ "$found" = "$index" ] && [ -z "$(replicas)" ]; then
        break
    elif [ -z "$found" ] && [ "$tries" -ge 5 ]; then
        found=0
        break
    elif [ "$tries" -ge "$PATIENCE" ]; then
        break
    fi
    tries=$((tries + 1))
    sleep 1
done

{
    cat /config/redis.conf
    [ ! -e /auth/redis-auth.conf ] || cat /auth/redis-auth.conf
    echo "replica-announce-ip $own"
    [ "$found" = "$index" ] || echo "replicaof $(await_address "$found") 6379"
} >/data/redis.conf
echo "pod $index starts; the master is pod $found"
exec redis-server /data/redis.conf
