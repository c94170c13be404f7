# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The rows of the mount's table. Rows that need the same preparation are measured together, one
# function a group: GROUP SYSTEM ROUND.

ROWS=(create-1 create-4 open-cold open-warm stat-cold stat-warm unlink write read-cold read-warm list)

# Ranges of names, so that what one group leaves behind is not in another's way.
FIRST_READ=0
FIRST_NEW=10000000
FIRST_UNLINK=20000000
FIRST_LIST=30000000
FIRST_LARGE=40000000

VALUE=1024

row_wanted()
{
	[[ $1 == *"$FILTER"* ]]
}

any_wanted()
{
	local row
	for row in "$@"; do
		! row_wanted "$row" || return 0
	done
	return 1
}

rows_match()
{
	any_wanted "${ROWS[@]}"
}

# measure ROW SYSTEM ROUND BENCH-FILES-ARGUMENTS...: notes things per second, and of hexkv what they
# cost.
measure()
{
	local row=$1 system=$2 round=$3 line before
	shift 3
	[[ $system != hexkv ]] || before=$(hexkv_costs)
	line=$(bench_files "$@") || fail "$system: $row"
	figure "$row" "$system" "$round" "$line"
	[[ $system != hexkv ]] || cost "$row" "$round" "$line" "$before" "$(hexkv_costs)"
}

# wait_options SYSTEM: davfs2 uploads later, so its time ends when the server has everything.
wait_options()
{
	[[ $1 != davfs2 ]] || printf -- '--until\n%s\n' "${SERVED[davfs2]}"
}

group_create()
{
	local threads first until
	mapfile -t until < <(wait_options "$1")
	for threads in 1 4; do
		row_wanted "create-$threads" || continue
		first=$((FIRST_NEW + ($2 * 10 + threads) * 100000))
		mount_fresh "$1"
		measure "create-$threads" "$1" "$2" create --first "$first" --count "$FILES" \
			--value-bytes "$VALUE" --threads "$threads" "${until[@]}" "$MNT"
		"$1_unmount"
		"$1_empty" "$first" "$FILES"
	done
}

group_open()
{
	local row
	"$1_fill" "$FIRST_READ" "$FILES" "$VALUE"
	mount_fresh "$1"
	for row in open-cold open-warm; do
		measure "$row" "$1" "$2" read --first "$FIRST_READ" --count "$FILES" \
			--value-bytes "$VALUE" "$MNT"
	done
	"$1_unmount"
	"$1_empty" "$FIRST_READ" "$FILES"
}

group_stat()
{
	local row
	"$1_fill" "$FIRST_READ" "$FILES" "$VALUE"
	mount_fresh "$1"
	bench_files list --count "$FILES" "$MNT" >/dev/null
	for row in stat-cold stat-warm; do
		measure "$row" "$1" "$2" stat --first "$FIRST_READ" --count "$FILES" \
			--value-bytes "$VALUE" "$MNT"
	done
	"$1_unmount"
	"$1_empty" "$FIRST_READ" "$FILES"
}

group_unlink()
{
	"$1_fill" "$FIRST_UNLINK" "$FILES" "$VALUE"
	mount_fresh "$1"
	measure unlink "$1" "$2" unlink --first "$FIRST_UNLINK" --count "$FILES" "$MNT"
	"$1_unmount"
}

group_large()
{
	local first=$((FIRST_LARGE + $2)) large=(--value-bytes "${MIB}M") until row
	mapfile -t until < <(wait_options "$1")
	large+=(--first "$first")
	if [[ $1 == curl ]]; then
		large_by_curl "$2"
		return
	fi
	mount_fresh "$1"
	measure write "$1" "$2" write-large "${large[@]}" "${until[@]}" "$MNT"
	if any_wanted read-cold read-warm; then
		mount_fresh "$1"
		for row in read-cold read-warm; do
			measure "$row" "$1" "$2" read-large "${large[@]}" "$MNT"
		done
	fi
	"$1_unmount"
	"$1_empty" "$first" 1
}

# large_by_curl ROUND: the same bytes through the same router.
large_by_curl()
{
	local key=00ff source=$RAM/curl-source seconds
	mkdir -p "$source"
	bench_files write-large --first "$FIRST_LARGE" --value-bytes "${MIB}M" "$source" >/dev/null
	drop_caches
	seconds=$(curl -sS -f -T "$source"/* -o /dev/null -w '%{time_total}' "$ROUTER/kv/$key") ||
		fail 'curl -T'
	figure write curl "$1" "bytes=$((MIB << 20)) seconds=$seconds"
	rm -rf "$source"
	drop_caches
	seconds=$(curl -sS -f -o /dev/null -w '%{time_total}' "$ROUTER/kv/$key") || fail 'curl -o'
	figure read-cold curl "$1" "bytes=$((MIB << 20)) seconds=$seconds"
	curl -sS -f -X DELETE "$ROUTER/kv/$key"
}

# davfs2 fetches all names when it is mounted, so that counts as well.
group_list()
{
	mount_fresh "$1"
	[[ $1 == davfs2 ]] || MOUNT_MS=0
	measure list "$1" "$2" list --count "$NAMES" --before-ms "$MOUNT_MS" "$MNT"
	"$1_unmount"
}

# in_turns GROUP: each round begins with another system.
in_turns()
{
	local round i system
	for ((round = 1; round <= ROUNDS; round++)); do
		for i in "${!SYSTEMS[@]}"; do
			system=${SYSTEMS[(i + round - 1) % ${#SYSTEMS[@]}]}
			[[ $system != curl || $1 == group_large ]] || continue
			say "round $round of $ROUNDS: ${1#group_}, $system"
			"$1" "$system" "$round"
		done
	done
}

# The names to be listed come last and stay during all rounds.
rows_run()
{
	local system
	! any_wanted create-1 create-4 || in_turns group_create
	! any_wanted open-cold open-warm || in_turns group_open
	! any_wanted stat-cold stat-warm || in_turns group_stat
	! any_wanted unlink || in_turns group_unlink
	! any_wanted write read-cold read-warm || in_turns group_large
	if any_wanted list; then
		for system in "${SYSTEMS[@]}"; do
			[[ $system == curl ]] || "${system}_fill" "$FIRST_LIST" "$NAMES" 100
		done
		in_turns group_list
	fi
}
