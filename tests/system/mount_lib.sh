# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# For tests of the mount alone: HEXKV_DOUBLE=1 puts tests/support/fake_store, which keeps records in
# memory, in place of the cluster.

# store_start [SHARDS]: ROUTER answers the object protocol.
store_start()
{
	if [[ -z ${HEXKV_DOUBLE:-} ]]; then
		cluster_start "${1:-2}"
		return
	fi
	free_ports
	ROUTER_PORT=$PORT_BASE
	ROUTER=http://127.0.0.1:$ROUTER_PORT
	router_restart
}

# router_restart: starts the router (or the double, which has forgotten everything) again.
router_restart()
{
	if [[ -z ${HEXKV_DOUBLE:-} ]]; then
		router_start
		return
	fi
	start_process router "$BUILD/tests/support/fake_store" --listen "127.0.0.1:$ROUTER_PORT"
	expect_within 10 port_is_taken "$ROUTER_PORT"
}

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
