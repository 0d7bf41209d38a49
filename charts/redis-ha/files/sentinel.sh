#!/bin/sh
# Writes Sentinel's configuration and becomes Sentinel. What an earlier run learned (who is the master, who else there is,
# in which epoch) is kept; the rest is written anew.
set -eu
umask 077
. /scripts/topology.sh

conf=/data/sentinel.conf
rm -f /data/together # see sentinel-ready.sh
own=$(await_address "$index")
known=
learned=
if [ -s "$conf" ]; then
    while read -r first second third fourth rest; do
        case "$first $second" in
            "sentinel monitor") known=$(number "$fourth") ;;
            "sentinel config-epoch" | "sentinel leader-epoch" | "sentinel current-epoch" | \
                "sentinel known-replica" | "sentinel known-sentinel")
                learned="$learned$first $second $third $fourth $rest
" ;;
        esac
    done <"$conf"
    # The services were made anew: all the addresses are another installation's.
    [ -n "$known" ] || learned=
fi
tries=0
while [ -z "$known" ] && [ "$tries" -lt 3 ]; do
    known=$(master)
    tries=$((tries + 1))
    [ -n "$known" ] || sleep 1
done

{
    echo "port 26379"
    echo "bind * -::*"
    echo "protected-mode no"
    echo "dir /tmp"
    echo "sentinel announce-ip $own"
    echo "sentinel announce-port 26379"
    # The same name for ever, so that the others do not count a Sentinel twice.
    echo "sentinel myid $(printf '%s' "$ANNOUNCE-$index" | sha1sum | { read -r id _ && echo "$id"; })"
    echo "sentinel monitor $GROUP $(await_address "${known:-0}") 6379 $QUORUM"
    cat /config/sentinel.conf
    [ ! -e /auth/sentinel-auth.conf ] || cat /auth/sentinel-auth.conf
    printf '%s' "$learned"
} >"$conf.new"
mv "$conf.new" "$conf"
exec redis-server "$conf" --sentinel
