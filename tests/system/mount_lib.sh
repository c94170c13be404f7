# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests of the mount share, on top of lib.sh.

# shellcheck disable=SC2153 # STATUS and OUTPUT are lib.sh's

# put KEY VALUE [CURL-ARGUMENTS...]: past the mount.
put()
{
	local key=$1 value=$2
	shift 2
	http -X PUT --data-binary "$value" "$@" "$ROUTER/kv/$key"
	[[ $STATUS == 20? ]] || fail "PUT $key answered $STATUS"
}

# value_of KEY: past the mount.
value_of()
{
	curl -sS -m 20 "$ROUTER/kv/$1"
}

# fails_with ERROR-TEXT COMMAND...: the command fails, and says so.
fails_with()
{
	local text=$1 output
	shift
	if output=$("$@" 2>&1 </dev/null); then
		fail "succeeded: $*"
	fi
	[[ $output == *"$text"* ]] || fail "expected '$text' from: $*; got '$output'"
}

random_file()
{
	head -c "$2" /dev/urandom >"$1"
}

# For mounts whose program is in the background.

# mount_pid: of the program that serves MNT, found by its last word.
mount_pid()
{
	pgrep -f "^[^ ]*(hexkv-fs|mount\..*hexkv) .*$MNT( |\$)" || true
}

no_program_serves_it()
{
	[[ -z $(mount_pid) ]]
}

# unmount: with umount(8); the program ends by itself.
unmount()
{
	umount "$MNT"
	is_not_mounted "$MNT" || fail 'it is still mounted'
	expect_within 20 no_program_serves_it
}
