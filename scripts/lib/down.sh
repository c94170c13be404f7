# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# hexkv down: unmounts, which flushes, then ends router and nodes. The data stays.

# down_members FORCE NAME...: all get SIGTERM at once, then each is waited for.
down_members()
{
	local force=$1 name
	shift
	for name in "$@"; do
		daemon_signal "$name" TERM
	done
	for name in "$@"; do
		daemon_was_started "$name" || continue
		daemon_wait_end "$name" 60 && continue
		[[ $force == 1 ]] || die "$name has not ended after 60 s, see $(log_file "$name");" \
			"wait, or use 'down --force'"
		say "killing $name"
		daemon_signal "$name" KILL
		daemon_wait_end "$name" 10 || die "$name can not be ended"
	done
}

down_anything_runs()
{
	local name
	while read -r name; do
		! daemon_was_started "$name" || return 0
	done < <(printf 'mount\nrouter\n'; node_names)
	return 1
}

down()
{
	local nodes
	if ! directory_exists; then
		printf 'no cluster in %s\n' "$DIR"
		return 0
	fi
	directory_lock
	settings_load
	if ! down_anything_runs; then
		printf 'hexkv is not running; the data is in %s\n' "$DIR"
		return 0
	fi
	mount_stop "$OPT_FORCE"
	down_members "$OPT_FORCE" router
	mapfile -t nodes < <(node_names)
	down_members "$OPT_FORCE" "${nodes[@]}"
	printf 'hexkv is down; the data stays in %s\n' "$DIR"
}
