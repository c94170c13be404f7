# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Builds with meson. One builder at a time in a directory: clusters may be started side by side.

# build_targets DIRECTORY TARGETS [MESON-OPTIONS...]: TARGETS is a list in one word, '' = all.
build_targets()
{
	local directory=$1 targets=$2
	shift 2
	mkdir -p "$directory"
	(
		exec {lock}>"$directory/.lock"
		flock "$lock"
		build_locked "$directory" "$targets" "$@"
	) || die "the build in $directory failed; its messages are above"
}

build_locked()
{
	local directory=$1 targets=$2
	shift 2
	if [[ ! -f $directory/build.ninja ]]; then
		say "configuring $directory"
		meson setup "$@" "$directory" "$ROOT" </dev/null >"$directory/setup.log" 2>&1 ||
			{ cat "$directory/setup.log" >&2; return 1; }
	fi
	# shellcheck disable=SC2086 # a list
	if [[ $(ninja -C "$directory" -n $targets 2>/dev/null) != *'no work to do'* ]]; then
		say "building in $directory"
		# shellcheck disable=SC2086
		ninja -C "$directory" $targets </dev/null >"$directory/build.log" 2>&1 ||
			{ tail -n 60 "$directory/build.log" >&2; return 1; }
	fi
}

PROGRAMS='node/hexkv-node router/hexkv-router fs/hexkv-fs'

build_programs()
{
	build_targets "$BUILD" "$PROGRAMS"
}
