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
[ -s "$PGDATA/PG_VERSION" ] || create
[ -z "$stopping" ] || exit 0
start
[ -z "$stopping" ] || stop
watch &
await
exit "$code"
