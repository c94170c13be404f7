# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests of the mount share.

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
