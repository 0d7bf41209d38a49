#!/bin/sh
# Runs the image's own entry point as a child, hands stop signals on to it, and reloads the server when its
# configuration files change. The server is not process 1 itself, because it would have to adopt the watcher.
set -eu

conf=/var/lib/postgresql/conf
socket=/var/run/postgresql/.s.PGSQL.5432
server=

start() {
    docker-entrypoint.sh postgres -c config_file="$conf/server.conf" -c hba_file="$conf/pg_hba.conf" "$@" &
    server=$!
}

is_server() { [ "$(cat "/proc/$server/comm" 2>/dev/null)" = postgres ]; }

# Terminate ends the image's entry point; alone it would have the server wait until every client has left, interrupt
# has it close their sessions.
stop() {
    kill -TERM "$server" 2>/dev/null || true
    kill -INT "$server" 2>/dev/null || true
}

# A signal interrupts wait, so it is asked again until the child is gone; and once more, because the child may have
# gone just then. A child that has been waited for is 127 to some shells.
await() {
    code=0
    wait "$server" || code=$?
    while kill -0 "$server" 2>/dev/null; do
        code=0
        wait "$server" || code=$?
    done
    last=0
    wait "$server" || last=$?
    [ "$last" = 127 ] || code=$last
}

# The image makes a database step by step, and takes one that was cut short for a whole one at the next start. So it is
# made beside its place, where nobody can connect, and moved when it is whole.
create() {
    rm -rf "$PGDATA.new" "$socket"
    place=$PGDATA
    PGDATA=$place.new
    start -c listen_addresses=
    until is_server && [ -S "$socket" ]; do
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    stop
    await
    [ "$code" = 0 ] || exit "$code"
    PGDATA=$place
    mv "$PGDATA.new" "$PGDATA"
}

stuck() {
    echo "not making an empty database: $1" >&2
    exit 1
}

# A claim may come from elsewhere, with a database that is not in $PGDATA. The volume's folder "data" is where a pod has it that
# mounts it with that subPath: it is used where it is, so the way back stays open. An empty database must not take its place.
adopt() {
    volume=${PGDATA%/*}
    if [ -e "$volume/PG_VERSION" ]; then
        stuck "the volume has one at its top; move its files into a folder ${PGDATA##*/} there"
    fi
    other=$volume/data
    # Whatever cannot be looked into is not empty either.
    if [ ! -d "$other" ] || [ -z "$(ls -A "$other" 2>&1)" ]; then
        return 0
    fi
    if [ ! -O "$other" ]; then
        stuck "the volume's folder data belongs to another user; run chown -R $(id -u):$(id -g) on it"
    fi
    if [ ! -s "$other/PG_VERSION" ]; then
        stuck "the volume's folder data has files, but no PG_VERSION that can be read; move the database among them into a folder ${PGDATA##*/} of the volume, or empty data"
    fi
    theirs=$(cat "$other/PG_VERSION")
    ours=$(postgres --version)
    ours=${ours#*") "}
    case $ours in
        "$theirs" | "$theirs"[!0-9]*) ;;
        *) stuck "the volume's folder data has PostgreSQL $theirs and the image $ours; give an image of version $theirs as tag" ;;
    esac
    echo "using the database in the volume's folder data"
    PGDATA=$other
}

contents() { cat "$conf/postgresql.conf" "$conf/pg_hba.conf"; }

watch() {
    known=$(contents)
    while sleep 5; do
        now=$(contents) || continue
        [ "$now" = "$known" ] && continue
        known=$now
        if is_server; then
            echo "configuration changed, reloading"
            kill -HUP "$server"
        fi
    done
}

trap 'stopping=yes; stop' INT TERM
stopping=
[ -s "$PGDATA/PG_VERSION" ] || adopt
[ -s "$PGDATA/PG_VERSION" ] || create
[ -z "$stopping" ] || exit 0
start
[ -z "$stopping" ] || stop
watch &
await
exit "$code"
