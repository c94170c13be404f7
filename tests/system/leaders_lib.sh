# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What tests share that take nodes from a default cluster, made by scripts/hexkv. After lib.sh and
# replica_lib.sh:
#
#   default_cluster NAME             # two shards of two nodes, a router, a mount
#   expect_led 20                    # every shard has a leader that the router knows
#   expect_shards_agree              # all nodes of each shard hold the same records

# default_cluster NAME: NODE_NAMES and NODE_URLS are s0a, s0b, s1a, s1b.
default_cluster()
{
	need_fuse
	CLUSTER_NAME=$1
	hexkv_up "$1"
	CLUSTER=$TMP/$1/cluster.json
	mapfile -t NODE_NAMES < <(jq -r '.shards[].nodes[].name' "$CLUSTER")
	mapfile -t NODE_URLS < <(jq -r '.shards[].nodes[].url' "$CLUSTER")
	expect_led 20
}

# roles: of all nodes in their order, in one line.
roles()
{
	local i
	for i in "${!NODE_URLS[@]}"; do
		printf '%s ' "$(role "$i" .role)"
	done
}

router_knows_all_leaders()
{
	[[ $(curl -sS -m 5 "$ROUTER/status" 2>/dev/null | jq -r '[.shards[].leads] | all') == true ]]
}

expect_led()
{
	expect_within "$1" router_knows_all_leaders
}

# start_alone INDEX: one node, not by scripts/hexkv, which would start all that are missing.
start_alone()
{
	local name=${NODE_NAMES[$1]}
	start_process "$name" "$NODE_BIN" --data "$TMP/$CLUSTER_NAME/data/$name" \
		--listen "${NODE_URLS[$1]#http://}" --cluster "$CLUSTER" --name "$name"
}

shards_agree()
{
	local i
	for i in "${!NODE_URLS[@]}"; do
		[[ $(role "$i" .role) == leader ]] || { may_be_read "$i" && is_fresh "$i"; } || return 1
		records_of "$i" "$TMP/records-$i" 2>/dev/null || return 1
		! grep -qv ' 200 ' "$TMP/records-$i" || return 1
		((i % 2 == 0)) || cmp -s "$TMP/records-$((i - 1))" "$TMP/records-$i" || return 1
	done
}

# expect_shards_agree: RECORDS is how many they hold.
expect_shards_agree()
{
	wait_until 60 shards_agree || {
		roles >&2
		diff "$TMP/records-0" "$TMP/records-1" | head -10 >&2 || true
		diff "$TMP/records-2" "$TMP/records-3" | head -10 >&2 || true
		fail 'the nodes do not come to agree'
	}
	# shellcheck disable=SC2034 # for tests
	RECORDS=$(cat "$TMP/records-0" "$TMP/records-2" | wc -l)
}

diverged_total()
{
	local i total=0
	for i in "${!NODE_URLS[@]}"; do
		total=$((total + $(metric "$i" hexkv_replica_diverged_entries_total)))
	done
	echo "$total"
}
