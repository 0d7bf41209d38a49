# What the pods' scripts know of each other: a pod is its number, and is reached at the address of its announce service,
# which stays while pods come and go. Addresses, not names, go into configurations: when a node is lost, DNS may be slow
# just then.
index=${HOSTNAME##*-}

# each runs a command for every pod, with the pod's number.
each() (
    i=0
    while [ "$i" -lt "$REPLICAS" ]; do
        "$1" "$i"
        i=$((i + 1))
    done
)

address() { getent hosts "$ANNOUNCE-$1" | { read -r found _ && echo "$found"; }; }

# await_address waits for the name: right after the installation it may not be known yet.
await_address() {
    until address "$1"; do sleep 1; done
}

# number prints whose address $1 is, and nothing when it is nobody's.
number() {
    wanted=$1
    [ -z "$wanted" ] || each is_wanted
}
is_wanted() { [ "$(address "$1")" != "$wanted" ] || echo "$1"; }

sentinel() {
    who=$1
    shift
    timeout 2 redis-cli -h "$ANNOUNCE-$who" -p 26379 sentinel "$@" "$GROUP" 2>/dev/null || true
}

ask_master() { number "$(sentinel "$1" get-master-addr-by-name | head -n 1)"; }

# master prints the number of the pod that most Sentinels call the master, and nothing when none answers.
master() { each ask_master | sort | uniq -c | sort -rn | { read -r _ found && echo "$found"; } || true; }

# replicas prints something when a Sentinel knows a replica.
replicas() { each first_replica; }
first_replica() { sentinel "$1" replicas | head -n 1; }
