#!/bin/sh
# Ready is a Sentinel that answers. At first it must have found enough others to agree with, and a replica, too: seconds pass
# after the start before it has, and a master that is lost by then would have no successor. Later, a lost node makes no other
# unready.
set -eu
. /scripts/topology.sh

if [ "$(timeout 4 redis-cli -p 26379 ping)" != PONG ]; then
    exit 1
fi
if [ -e /data/together ] || [ "$REPLICAS" -eq 1 ] || [ "$REPLICAS" -lt "$QUORUM" ]; then
    exit 0
fi
own() { timeout 4 redis-cli -p 26379 sentinel "$1" "$GROUP"; }
case $(own ckquorum) in
    OK*) ;;
    *)
        echo "it has not found enough other Sentinels yet"
        exit 1
        ;;
esac
if [ -z "$(own replicas | head -n 1)" ]; then
    echo "it has not found a replica yet"
    exit 1
fi
touch /data/together
