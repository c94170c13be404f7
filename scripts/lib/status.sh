# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# hexkv status: one row a member; true only if all of them are up and each shard has a leader.

declare -A STATUS=() # member -> what its /status answers, if it does

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

# Asks all members at once: one that does not answer costs its time only once.
status_ask()
{
	local name directory
	directory=$(mktemp -d)
	for name in "$@"; do
		! daemon_runs "$name" || with_token -fsS --noproxy '*' -m 5 -o "$directory/$name" \
			"$(url_of "$name")/status" 2>/dev/null &
	done
	wait
	for name in "$@"; do
		STATUS[$name]=$(cat "$directory/$name" 2>/dev/null) || true
	done
	rm -rf "$directory"
}

# What a node says of itself: role, epoch, position in the log, entries (replaced and deleted ones
# too, until they are merged away) and bytes on disk.
FIGURES='"\(.role) \(.replication.epoch) \(.replication.end // "0-0" | split("-") | last) \(
	.store.tree.entries) \(.store.log.bytes + .store.tree.segment_bytes + .store.value_bytes)"'

# shellcheck disable=SC2016 # jq's own variables
# How far a follower is behind, by its leader's word; without one, how old what it has may be.
LAG='def size: if . < 10240 then "\(.)B" elif . < 10485760 then "\(. / 1024 | floor)K"
	else "\(. / 1048576 | floor)M" end;
.replication.bootstrap as $copy |
if $copy then "copies \($copy.bytes | size)/\($copy.total_bytes | size)"
elif .role == "leader" then "-"
else
	([$leader.replication.peers[]? | select(.name == $name and .follows)] | first) as $seen |
	if $seen then "\($seen.lag_records)/\($seen.lag_bytes | size)/\($seen.lag_ms)ms"
	elif .replication.staleness_ms then "stale \(.replication.staleness_ms)ms"
	else "unknown" end
end'

# leader_of SHARD: the name of the node that says it leads, of several the one with the highest
# epoch; false if none does.
leader_of()
{
	local name epoch best='' highest=0
	while read -r name; do
		[[ ${name%?} == "$1" && -n ${STATUS[$name]} ]] || continue
		epoch=$(jq -r 'select(.role == "leader") | .replication.epoch' <<<"${STATUS[$name]}") || continue
		((16#${epoch:-0} > highest)) || continue
		highest=$((16#$epoch))
		best=$name
	done < <(node_names)
	[[ -n $best ]] && printf '%s' "$best"
}

status_row()
{
	printf '%-8s %-13s %8s %6s %-10s %12s %10s %-16s %9s %12s\n' "$@"
}

status_router()
{
	local state entries=- pid
	state=$(member_state router)
	[[ -z ${STATUS[router]} ]] || entries=$(jq -r '.entries // "-"' <<<"${STATUS[router]}")
	pid=$(daemon_pid router) || pid=-
	status_row router router "$pid" "$PORT" "$state" - - - "$entries" -
	[[ $state == up ]]
}

status_node()
{
	local name=$1 leader pid state lag=- role=- epoch=- sequence=- entries=- bytes=-
	state=$(member_state "$name")
	if [[ -n ${STATUS[$name]} ]]; then
		read -r role epoch sequence entries bytes < <(jq -r "$FIGURES" <<<"${STATUS[$name]}")
		leader=$(leader_of "${name%?}") || leader=
		lag=$(jq -r --arg name "$name" --argjson leader "${STATUS[${leader:-none}]:-null}" \
			"$LAG" <<<"${STATUS[$name]}")
	fi
	pid=$(daemon_pid "$name") || pid=-
	status_row "$name" "$role" "$pid" "$(port_of "$name")" "$state" "$epoch" "$sequence" \
		"$lag" "$entries" "$bytes"
	[[ $state == up ]]
}

status_mount()
{
	local state pid
	state=$(mount_state)
	pid=$(daemon_pid mount) || pid=-
	status_row mount mount "$pid" - "$state" - - - - -
	[[ $state == up || $state == 'no /dev/fuse' ]]
}

# What an operator has to look at.
status_remarks()
{
	local name shard file
	for ((shard = 0; shard < SHARDS; shard++)); do
		leader_of "s$shard" >/dev/null ||
			printf 'shard s%d has no leader: its records can be read where a follower is up, not written\n' "$shard"
	done
	while read -r name; do
		for file in "$DIR/data/$name"/diverged-*.log; do
			[[ ! -e $file ]] || printf '%s gave up writes; they are in %s\n' "$name" "$file"
		done
	done < <(node_names)
}

status()
{
	local name nodes shard all=0
	directory_exists || die "no cluster in $DIR; 'scripts/hexkv up' makes one"
	settings_load
	mapfile -t nodes < <(node_names)
	status_ask router "${nodes[@]}"
	status_row MEMBER ROLE PID PORT STATE EPOCH POSITION LAG ENTRIES BYTES
	status_router || all=1
	for name in "${nodes[@]}"; do
		status_node "$name" || all=1
	done
	status_mount || all=1
	printf 'mount point: %s\n' "$MOUNT"
	status_remarks
	for ((shard = 0; shard < SHARDS; shard++)); do
		leader_of "s$shard" >/dev/null || all=1
	done
	return "$all"
}
