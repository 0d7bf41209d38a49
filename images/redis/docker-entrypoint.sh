#!/bin/sh
# Starts Redis as the official image does: options or a configuration file may come first, root becomes the user redis, and
# other pods may connect unless the configuration says otherwise.
set -eu

# Redis' own default lets only this host in while there is no password. A pod's other containers are its own, and everybody else
# comes from other hosts, so here the default is open, as in the official image.
says_protected_mode() {
	for argument in "$@"; do
		[ "$argument" != --protected-mode ] || return 0
	done
	[ -r "${2:-}" ] || return 1
	while read -r name _ || [ -n "$name" ]; do
		[ "$name" != protected-mode ] || return 0
	done <"$2"
	return 1
}

case "${1:-}" in
	-* | *.conf) set -- redis-server "$@" ;;
esac

if [ "${1:-}" = redis-server ] && [ "$(id -u)" = 0 ]; then
	chown -R redis:redis .
	# chroot replaces the process, so signals arrive.
	exec chroot --userspec=redis:redis --skip-chdir / "$0" "$@"
fi

case "${1:-} ${2:-}" in
	"redis-server -v" | "redis-server --version" | "redis-server -h" | "redis-server --help" | "redis-server --test-memory" | "redis-server --check-system") ;;
	"redis-server "*)
		# Files with data are for the owner only.
		[ "$(umask)" != 0022 ] || umask 0077
		says_protected_mode "$@" || set -- "$@" --protected-mode no
		;;
esac

exec "$@"
