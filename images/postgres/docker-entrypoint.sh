#!/bin/bash
# Starts PostgreSQL. On an empty data directory it first makes a cluster, by the same environment variables, folders and
# arguments as the official image. See the README of this folder's parent for what is supported.
set -Eeuo pipefail

# Its presence means that the first start was cut short, so nothing in the data directory was ever in service.
readonly UNFINISHED=.first-start-unfinished
readonly SCRIPTS=/docker-entrypoint-initdb.d

say() { printf 'entrypoint: %s\n' "$*"; }
fail() { printf 'entrypoint: error: %s\n' "$*" >&2; exit 1; }

# from_file VAR [DEFAULT] sets VAR from the file that VAR_FILE names, so that a secret need not be in the environment.
from_file() {
	local var=$1 file_var=${1}_FILE
	if [[ -n ${!var:-} && -n ${!file_var:-} ]]; then
		fail "$var and $file_var are both set: keep one of them"
	fi
	if [[ -n ${!file_var:-} ]]; then
		[[ -r ${!file_var} ]] || fail "$file_var names ${!file_var}, which cannot be read: check the mount and its mode"
		printf -v "$var" '%s' "$(<"${!file_var}")"
	elif [[ -z ${!var:-} ]]; then
		printf -v "$var" '%s' "${2:-}"
	fi
	export "${var?}"
	unset "$file_var"
}

read_settings() {
	from_file POSTGRES_PASSWORD
	from_file POSTGRES_USER postgres
	from_file POSTGRES_DB "$POSTGRES_USER"
	from_file POSTGRES_INITDB_ARGS
	: "${POSTGRES_HOST_AUTH_METHOD:=}"
}

check_settings() {
	if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
		fail "the data directory is empty and no password is given: set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE)," \
			"or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in without one"
	fi
	if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
		say "warning: POSTGRES_HOST_AUTH_METHOD=trust lets everybody who reaches the port in, without a password"
	fi
}

# as_postgres starts this script again as the user postgres; chroot replaces the process, so signals arrive.
as_postgres() {
	local dir
	for dir in "$PGDATA" /run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"}; do
		mkdir -p "$dir"
		find "$dir" \! -user postgres -exec chown postgres:postgres '{}' +
	done
	export HOME=/var/lib/postgresql
	exec chroot --userspec=postgres:postgres --skip-chdir / "${BASH_SOURCE[0]}" "$@"
}

# choose_data_directory makes the data directory. PostgreSQL wants to own it, and the root of a mounted volume often belongs to
# root; then a folder in it is used, from the first start on and for ever.
choose_data_directory() {
	mkdir -p "$PGDATA" 2>/dev/null || fail "cannot make the data directory $PGDATA as user $(id -u): mount a writable volume there"
	if [[ ! -s $PGDATA/PG_VERSION && ( -s $PGDATA/pgdata/PG_VERSION || ! -O $PGDATA ) ]]; then
		if [[ ! -d $PGDATA/pgdata && ! -w $PGDATA ]]; then
			fail "user $(id -u) cannot write to the data directory $PGDATA: set the pod's securityContext.fsGroup, or change the owner of the volume"
		fi
		PGDATA=$PGDATA/pgdata
		say "the volume belongs to another user, so the data lies in $PGDATA"
		mkdir -p "$PGDATA"
	fi
	[[ -O $PGDATA ]] || fail "the data directory $PGDATA belongs to user $(stat -c %u "$PGDATA") and this is user $(id -u): change its owner or the pod's runAsUser"
	chmod 0700 "$PGDATA"
	export PGDATA
}

# with_name runs a command for which the current user must have a name, whatever /etc/passwd says.
with_name() {
	if id -un >/dev/null 2>&1; then
		"$@"
		return
	fi
	local names library
	library=$(find /usr/lib -name 'libnss_wrapper.so' -print -quit)
	names=$(mktemp -d)
	printf 'postgres:x:%s:%s::%s:/bin/false\n' "$(id -u)" "$(id -g)" "$PGDATA" >"$names/passwd"
	printf 'postgres:x:%s:\n' "$(id -g)" >"$names/group"
	LD_PRELOAD=$library NSS_WRAPPER_PASSWD=$names/passwd NSS_WRAPPER_GROUP=$names/group "$@"
	rm -r "$names"
}

# make_cluster runs initdb beside its final place and moves the result in, PG_VERSION last: a start that finds PG_VERSION finds
# a whole cluster.
make_cluster() {
	local fresh=$PGDATA/.fresh entry
	local -a arguments=()
	rm -rf "$fresh"
	eval "arguments=($POSTGRES_INITDB_ARGS)" # quoted as in a shell, as the official image has it
	if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
		arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
	fi
	if [[ -n $POSTGRES_PASSWORD ]]; then
		with_name initdb --pgdata="$fresh" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
	else
		with_name initdb --pgdata="$fresh" --username="$POSTGRES_USER" "${arguments[@]}"
	fi
	printf "\n# The port is published by the pod, so all of its addresses listen.\nlisten_addresses = '*'\n" >>"$fresh/postgresql.conf"
	printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption -D "$fresh")}" >>"$fresh/pg_hba.conf"

	: >"$PGDATA/$UNFINISHED"
	for entry in "$fresh"/*; do
		[[ ${entry##*/} == PG_VERSION ]] || mv "$entry" "$PGDATA/"
	done
	mv "$fresh/PG_VERSION" "$PGDATA/"
	rm -rf "$fresh"
}

# process_sql feeds psql, connected through the local socket.
process_sql() {
	PGHOST='' PGHOSTADDR='' psql --no-psqlrc --no-password --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
		--dbname "${DATABASE:-$POSTGRES_DB}" "$@"
}

# Scripts written for the official image may call this.
docker_process_sql() { process_sql "$@"; }

make_database() {
	local there
	there=$(DATABASE=postgres process_sql --tuples-only --no-align --set db="$POSTGRES_DB" <<<"SELECT 1 FROM pg_database WHERE datname = :'db';")
	if [[ -z $there ]]; then
		DATABASE=postgres process_sql --quiet --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
	fi
}

run_scripts() {
	local script
	for script in "$SCRIPTS"/*; do
		case $script in
			*.sh)
				if [[ -x $script ]]; then
					say "running $script"
					"$script"
				else
					say "sourcing $script"
					# Such a script may rely on unset variables being empty.
					set +u
					# shellcheck disable=SC1090
					. "$script"
					set -u
				fi
				;;
			*.sql) say "running $script"; process_sql --file "$script" ;;
			*.sql.gz) say "running $script"; gzip -dc "$script" | process_sql ;;
			"$SCRIPTS/*") ;; # the folder is empty
			*) say "ignoring $script: only *.sh, *.sql and *.sql.gz are run" ;;
		esac
	done
}

# first_start prepares the cluster with a server that nobody else can reach.
first_start() {
	check_settings
	make_cluster
	export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
	pg_ctl --pgdata="$PGDATA" --wait --options="$(printf '%q ' "${@:2}" -c listen_addresses= -p "${PGPORT:-5432}")" start
	make_database
	run_scripts
	pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop
	unset PGPASSWORD
	rm "$PGDATA/$UNFINISHED"
	say "the database is ready for its first start"
}

main() {
	if [[ ${1:-} == -* ]]; then
		set -- postgres "$@"
	fi
	case "${1:-} ${2:-}" in
		"postgres -?" | "postgres --help" | "postgres -V" | "postgres --version" | "postgres --describe-config" | "postgres -C") ;;
		"postgres "*)
			if [[ $(id -u) == 0 ]]; then
				as_postgres "$@"
			fi
			choose_data_directory
			if [[ -e $PGDATA/$UNFINISHED ]]; then
				say "the first start was cut short: beginning again"
				find "$PGDATA" -mindepth 1 -delete
			fi
			if [[ -s $PGDATA/PG_VERSION ]]; then
				say "the data directory $PGDATA holds a database"
			else
				read_settings
				first_start "$@"
			fi
			;;
	esac
	exec "$@"
}

main "$@"
