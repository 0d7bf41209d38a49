#!/bin/sh
# Runs before the server is told to stop: a master has a Sentinel choose another first. Writes wait until the replicas have
# all of them. Not for long: what Sentinels tell each other through this server waits as well.
set -eu
. /scripts/topology.sh

role() { timeout 2 redis-cli role | head -n 1; }

[ "$(role)" = master ] && [ -n "$(replicas)" ] || exit 0
redis-cli client pause 2000 write >/dev/null
# Only one is asked: two would each choose. This pod's own is about to end as well.
asked=0
while [ "$asked" -lt "$REPLICAS" ]; do
    [ "$asked" = "$index" ] || [ "$(sentinel "$asked" failover)" != OK ] || break
    asked=$((asked + 1))
done
tries=0
while [ "$tries" -lt 20 ] && [ "$(role)" = master ]; do
    tries=$((tries + 1))
    sleep 1
done
