# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# hexkv status: one row a member; true only if all of them are up.

member_state()
{
	if ! daemon_runs "$1"; then
		if daemon_was_started "$1"; then printf crashed; else printf stopped; fi
	elif member_is_ready "$1"; then
		printf up
	else
		printf 'not ready'
	fi
}

mount_state()
{
	if daemon_runs mount && is_mounted "$MOUNT"; then
		printf up
	elif daemon_was_started mount; then
		printf crashed
	elif ! fuse_is_there; then
		printf 'no /dev/fuse'
	else
		printf stopped
	fi
}

# What /status of a node or the router says: entries (replaced and deleted ones too, until they are
# merged away) and bytes on disk.
FIGURES='if .store then
	"\(.store.tree.entries) \(.store.log.bytes + .store.tree.segment_bytes + .store.value_bytes)"
else
	"\(.entries // "-") -"
end'

# member_figures NAME: "ENTRIES BYTES", "- -" if it does not tell.
member_figures()
{
	local figures
	figures=$(curl -fsS --noproxy '*' -m 5 "$(url_of "$1")/status" 2>/dev/null |
		jq -r "$FIGURES" 2>/dev/null) || figures=
	printf '%s' "${figures:-- -}"
}

status_row()
{
	printf '%-8s %-10s %8s %6s %-12s %10s %14s\n' "$@"
}

status_member()
{
	local name=$1 role=$2 state figures='- -' pid
	state=$(member_state "$name")
	[[ $state != up ]] || figures=$(member_figures "$name")
	pid=$(daemon_pid "$name") || pid=-
	status_row "$name" "$role" "$pid" "$(port_of "$name")" "$state" \
		"${figures% *}" "${figures#* }"
	[[ $state == up ]]
}

status_mount()
{
	local state pid
	state=$(mount_state)
	pid=$(daemon_pid mount) || pid=-
	status_row mount mount "$pid" - "$state" - -
	[[ $state == up || $state == 'no /dev/fuse' ]]
}

status()
{
	local name role all=0
	directory_exists || die "no cluster in $DIR; 'scripts/hexkv up' makes one"
	settings_load
	status_row MEMBER ROLE PID PORT STATE ENTRIES BYTES
	status_member router router || all=1
	while read -r name; do
		role=leader
		[[ $name == *a ]] || role=follower
		status_member "$name" "$role" || all=1
	done < <(node_names)
	status_mount || all=1
	printf 'mount point: %s\n' "$MOUNT"
	return "$all"
}
