# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What tests of a shard of several nodes share; they talk to the nodes directly. After lib.sh:
#
#   shard_start 3                    # s0a, s0b, s0c; s0a leads when this returns
#   leader_find                      # LEADER: its index in NODE_NAMES and NODE_URLS
#   put KEY VALUE [HEADER...]        # at the leader, wherever it is; expects success
#   expect_converged                 # all nodes hold the same records, and say so

# write_shard_file NODES: one shard, its nodes on ports from PORT_BASE + 1 on; SHARD_ACK is its
# default acknowledgement.
write_shard_file()
{
	local i letters=abcdefgh separator=''
	NODE_NAMES=()
	NODE_URLS=()
	CLUSTER=$TMP/cluster.json
	{
		printf '{"cluster": "test", %s"shards": [{"name": "s0", "slots": [[0, 4095]],' \
			"${SHARD_ACK:+\"ack\": \"$SHARD_ACK\", }"
		printf ' "leader": "s0a", "nodes": ['
		for ((i = 0; i < $1; i++)); do
			NODE_NAMES+=("s0${letters:i:1}")
			NODE_URLS+=("http://127.0.0.1:$((PORT_BASE + 1 + i))")
			printf '%s{"name": "%s", "url": "%s"}' "$separator" "${NODE_NAMES[i]}" \
				"${NODE_URLS[i]}"
			separator=', '
		done
		printf ']}]}\n'
	} >"$CLUSTER"
}

shard_start()
{
	free_ports
	write_shard_file "$1"
	nodes_start
	expect_within 20 all_follow
}

# role INDEX FILTER: of what /role says, by jq; empty if nobody answers.
role()
{
	curl -sS -m 2 "${NODE_URLS[$1]}/role" 2>/dev/null | jq -r "$2" 2>/dev/null || true
}

has_role()
{
	[[ $(role "$1" .role) == "$2" ]]
}

may_be_read()
{
	[[ $(role "$1" .reads) == true ]]
}

is_fresh()
{
	local staleness
	staleness=$(role "$1" .staleness_ms)
	[[ $staleness =~ ^[0-9]+$ ]] && ((staleness < 3000))
}

# Of all nodes that run one leads, and the others have caught up with it.
all_follow()
{
	local i leaders=0
	for i in "${!NODE_NAMES[@]}"; do
		process_runs "${NODE_NAMES[i]}" || continue
		case $(role "$i" .role) in
		leader) leaders=$((leaders + 1)) ;;
		follower) may_be_read "$i" && is_fresh "$i" || return 1 ;;
		*) return 1 ;;
		esac
	done
	((leaders == 1))
}

# leader_look: LEADER is the index of the node that says it leads, in the highest epoch if two do.
leader_look()
{
	local i epoch best=
	LEADER=
	for i in "${!NODE_NAMES[@]}"; do
		process_runs "${NODE_NAMES[i]}" || continue
		[[ ${PAUSED:-} != "$i" ]] || continue
		has_role "$i" leader || continue
		epoch=$(printf '%16s' "$(role "$i" .epoch)")
		[[ -z $best || $epoch > $best ]] || continue
		best=$epoch
		LEADER=$i
	done
	[[ -n $LEADER ]]
}

leader_find()
{
	expect_within 20 leader_look
}

# put KEY VALUE [CURL-ARGUMENTS...]: at the leader.
put()
{
	local key=$1 value=$2
	shift 2
	leader_find
	http -X PUT --data-binary "$value" "${NODE_URLS[LEADER]}/kv/$key" "$@"
	[[ $STATUS == 20[14] ]] || fail "PUT of $key: $STATUS $(head -c 500 "$BODY")"
}

# value_at INDEX KEY: as that node has it; nothing if it has none.
value_at()
{
	curl -fsS -m 5 -H 'HexKV-Read: any' "${NODE_URLS[$1]}/kv/$2" 2>/dev/null || true
}

has_value()
{
	[[ $(value_at "$1" "$2") == "$3" ]]
}

# expect_everywhere KEY VALUE: on every node that runs, within a time.
expect_everywhere()
{
	local i
	for i in "${!NODE_NAMES[@]}"; do
		process_runs "${NODE_NAMES[i]}" || continue
		expect_within 20 has_value "$i" "$1" "$2"
	done
}

# records_of INDEX FILE: a line for each record that the node has: key, version, hash, labels, size
# of the value as it was read.
records_of()
{
	local url=${NODE_URLS[$1]} page=$TMP/page-$1 wanted=$TMP/wanted-$1 cursor='' line
	: >"$2"
	while :; do
		curl -fsS -m 20 -H 'HexKV-Read: any' -o "$page" \
			"$url/keys?format=text${cursor:+&cursor=$cursor}" || return 1
		awk -v url="$url" 'NF == 4 { printf "url = \"%s/kv/%s\"\noutput = /dev/null\n", url, $1 }' \
			"$page" >"$wanted"
		if [[ -s $wanted ]]; then
			curl -sS -m 60 -H 'HexKV-Read: any' -K "$wanted" \
				-w '%{url} %{http_code} %{size_download} %header{etag} %header{hexkv-hash} %header{content-type} %header{hexkv-encoding} %header{hexkv-mtime}\n' |
				sed 's|.*/kv/||' >>"$2" || return 1
		fi
		line=$(tail -1 "$page")
		[[ $line == cursor* ]] || break
		cursor=${line#cursor }
	done
}

nodes_agree()
{
	local i first=
	all_follow || return 1
	for i in "${!NODE_NAMES[@]}"; do
		process_runs "${NODE_NAMES[i]}" || continue
		records_of "$i" "$TMP/records-$i" 2>/dev/null || return 1
		! grep -qv ' 200 ' "$TMP/records-$i" || return 1
		[[ -n $first ]] || first=$i
		cmp -s "$TMP/records-$first" "$TMP/records-$i" || return 1
	done
}

# expect_converged: every node that runs has the same records in the same versions.
expect_converged()
{
	wait_until 60 nodes_agree || {
		for i in "${!NODE_NAMES[@]}"; do
			printf '%s: %s\n' "${NODE_NAMES[i]}" "$(role "$i" .)" | tr -d '\n ' >&2
			echo >&2
		done
		diff "$TMP/records-0" "$TMP/records-1" | head -20 >&2 || true
		fail 'the nodes do not come to agree'
	}
}

# promote INDEX [force]: expects success.
promote()
{
	expect_http 200 -X POST "${NODE_URLS[$1]}/admin/promote${2:+?force=1}"
	expect_equal "${NODE_NAMES[$1]}" "$(body_json .leader)"
}

# end_of INDEX: the sequence up to which the node has the log, in decimal.
end_of()
{
	local end
	end=$(curl -sS -m 2 "${NODE_URLS[$1]}/status" | jq -r .replication.end)
	[[ $end == *-* ]] && printf '%d\n' "0x${end#*-}" || echo 0
}

# metric INDEX NAME: its value.
metric()
{
	curl -sS -m 5 "${NODE_URLS[$1]}/metrics" | awk -v name="$2" '$1 == name { print $2 }'
}

node_kill()
{
	kill_process "${NODE_NAMES[$1]}"
}

# node_restart INDEX [ARGUMENTS...]
node_restart()
{
	local index=$1 saved=("${NODE_ARGS[@]}")
	shift
	NODE_ARGS+=("$@")
	node_start "$index"
	NODE_ARGS=("${saved[@]}")
	wait_ready "${NODE_NAMES[index]}" "${NODE_URLS[index]}"
}

# others_of INDEX: OTHERS, the two other nodes.
others_of()
{
	local i
	OTHERS=()
	for i in 0 1 2; do
		((i == $1)) || OTHERS+=("$i")
	done
}

# furthest_without LEADER: BEST is the one of the two others that has more of the log. Their leader
# writes nothing more, so whatever a majority with it acknowledged is there.
furthest_without()
{
	local a b
	others_of "$1"
	a=$(end_of "${OTHERS[0]}")
	b=$(end_of "${OTHERS[1]}")
	# shellcheck disable=SC2034 # for tests
	BEST=${OTHERS[0]}
	# shellcheck disable=SC2034 # for tests
	((a >= b)) || BEST=${OTHERS[1]}
}

# writers_start URL...: tests/system/replica_writers.py, until writers_stop.
writers_start()
{
	need_command python3
	rm -f "$TMP/stop" "$TMP/result"
	start_process writers python3 "$SOURCE_ROOT/tests/system/replica_writers.py" "$TMP/stop" \
		"$TMP/result" "$@"
}

writers_stop()
{
	touch "$TMP/stop"
	expect_within 90 process_ended writers
	stop_process writers
	tail -1 "$TMP/log/writers"
}

# expect_what_was_acknowledged: all that the writers did reads back at the leader.
expect_what_was_acknowledged()
{
	local key value other got
	leader_find
	(($(wc -l <"$TMP/result") > 20)) || fail 'too few keys were written'
	while read -r key value other; do
		got=$(curl -sS -m 5 -w ' %{http_code}' "${NODE_URLS[LEADER]}/kv/$key")
		if [[ $got == *' 200' ]]; then
			got=${got% 200}
			got=${got// /_}
		else
			[[ $got == *' 404' ]] || fail "reading $key: $got"
			got=-
		fi
		[[ $got == "$value" || (-n $other && $got == "$other") ]] ||
			fail "$key: '$value' was acknowledged, and '$got' is there"
	done <"$TMP/result"
}
