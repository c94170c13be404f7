#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Random operations on real mounts against a model that knows what each must give. What fails says
# which seed and step it was; HEXKV_SEED=N tries that seed alone.

# shellcheck source=tests/system/lib.sh
. "$(dirname "$0")/lib.sh"

RANDOM_BIN=$BUILD/tests/mount/mount_random

# random_run NAME ARGUMENTS...: in a directory of its own.
random_run()
{
	local name=$1 seed=${HEXKV_SEED:-$((RANDOM * 32768 + RANDOM))}
	shift
	mkdir -p "$TMP/$name"
	"$RANDOM_BIN" --program "$FS_BIN" --url "$ROUTER" --dir "$TMP/$name" --seed "$seed" "$@" ||
		fail "mount_random $*; $(tail -n 5 "$TMP/$name"/*.log)"
	! grep -l -E 'Sanitizer|runtime error' "$TMP/$name"/*.log || fail "$(cat "$TMP/$name"/*.log)"
}

two_mounts_agree_with_the_model()
{
	random_run two --mounts 2 --steps $((STEPS * 5))
}

one_mount_agrees_with_the_model()
{
	random_run one --mounts 1 --steps $((STEPS * 3))
}

one_file_agrees_with_the_model()
{
	random_run file --mounts 1 --keys 1 --steps $((STEPS * 2))
	# An open took the answer to a look-up that another open had left behind.
	HEXKV_SEED=964743552 random_run left --mounts 1 --keys 1 --steps 1000
	# What was changed through a mapping of a removed file came to the mount behind a later write.
	HEXKV_SEED=203417929 random_run mapped --mounts 1 --keys 1 --steps 6000
}

STEPS=400
[[ -z ${HEXKV_LONG:-} ]] || STEPS=15000
need_fuse
cluster_start 2
run_cases two_mounts_agree_with_the_model one_mount_agrees_with_the_model \
	one_file_agrees_with_the_model
