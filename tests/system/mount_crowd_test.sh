#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Many threads on the same records, through two mounts and over HTTP: each open sees one whole
# version that is current, also while nodes are killed, started again and paused. What fails says
# which seed it was; HEXKV_SEED=N tries that seed alone.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

CROWD_BIN=$BUILD/tests/mount/mount_crowd

# start_crowd NAME ARGUMENTS...: in the background, in a directory of its own.
start_crowd()
{
	local name=$1 seed=${HEXKV_SEED:-$((RANDOM * 32768 + RANDOM))}
	shift
	mkdir -p "$TMP/$name"
	start_process "$name" "$CROWD_BIN" --program "$FS_BIN" --url "$ROUTER" --dir "$TMP/$name" \
		--seed "$seed" "$@"
}

# finish_crowd NAME: it has found nothing wrong.
finish_crowd()
{
	expect_within $((SECONDS_EACH + 200)) process_ended "$1"
	end_process "$1"
	((PROCESS_STATUS == 0)) || fail "$1 ended with $PROCESS_STATUS: $(tail -150 "$TMP/log/$1")"
	! grep -l -E 'Sanitizer|runtime error' "$TMP/$1"/*.log || fail "$(cat "$TMP/$1"/*.log)"
	sed 's/^/  /' "$TMP/log/$1"
}

each_open_sees_one_whole_version_that_is_current()
{
	start_crowd crowd --seconds "$SECONDS_EACH"
	finish_crowd crowd
}

# One after the other, for as long as the crowd works.
trouble_the_nodes()
{
	local until=$((SECONDS + SECONDS_EACH)) i=0
	while ((SECONDS < until)) && process_runs trouble; do
		kill_process "${NODE_NAMES[i]}"
		nodes_start
		pause_process "${NODE_NAMES[1 - i]}"
		wait_until 1 process_ended trouble || true
		continue_process "${NODE_NAMES[1 - i]}"
		i=$((1 - i))
	done
}

nor_does_it_see_anything_else_while_nodes_come_and_go()
{
	start_crowd trouble --seconds "$SECONDS_EACH" --trouble
	trouble_the_nodes
	finish_crowd trouble
}

SECONDS_EACH=5
[[ -z ${HEXKV_LONG:-} ]] || SECONDS_EACH=180
need_fuse
cluster_start 2
run_cases each_open_sees_one_whole_version_that_is_current \
	nor_does_it_see_anything_else_while_nodes_come_and_go
