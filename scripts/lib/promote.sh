# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# hexkv promote: another leader for a shard, asked of the node that shall be it.

# promote_check SHARD NODE: both are there and belong together.
promote_check()
{
	local name members=()
	while read -r name; do
		[[ ${name%?} != "$1" ]] || members+=("$name")
	done < <(node_names)
	((${#members[@]} > 0)) || die_usage "$DIR has no shard '$1'; its shards are s0 to s$((SHARDS - 1))"
	[[ " ${members[*]} " == *" $2 "* ]] ||
		die_usage "shard $1 has no node '$2'; its nodes are ${members[*]}"
}

promote()
{
	local url answer status
	((${#OPERANDS[@]} == 2)) || die_usage "promote takes a shard and a node, as in 'promote s0 s0b'"
	directory_exists || die "no cluster in $DIR; 'scripts/hexkv up' makes one"
	settings_load
	promote_check "${OPERANDS[@]}"
	daemon_runs "${OPERANDS[1]}" || die "${OPERANDS[1]} does not run; 'scripts/hexkv up' starts it"
	url=$(url_of "${OPERANDS[1]}")/admin/promote
	((!OPT_FORCE)) || url+='?force=1'
	answer=$(with_token -sS --noproxy '*' -m 30 -w '\n%{http_code}' -X POST "$url") ||
		die "${OPERANDS[1]} does not answer; its log is $(log_file "${OPERANDS[1]}")"
	status=${answer##*$'\n'}
	answer=${answer%$'\n'*}
	[[ $status == 200 ]] || die "$(jq -r '.detail // .title' <<<"$answer" 2>/dev/null)"
	printf '%s leads shard %s' "${OPERANDS[1]}" "${OPERANDS[0]}"
	jq -r 'if (.detail // "") != "" then "; " + .detail else "" end' <<<"$answer"
}
