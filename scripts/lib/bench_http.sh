# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The rows of scripts/bench http. wrk has as many threads as there are cores and asks each system in
# turns for the same: each round begins with another one.

# Row, connections, bytes of a value, keys, then SYSTEM:KIND of what is measured, hexkv's first
# (tests/bench/http.lua has the kinds).
http_rows()
{
	cat <<-TEXT
	get-64    64  1024     $HTTP_KEYS  hexkv:get nginx:get haproxy:get
	get-512   512 1024     $HTTP_KEYS  hexkv:get nginx:get haproxy:get
	get-node  64  1024     $HTTP_KEYS  node:get bare:get
	post      64  1024     $HTTP_KEYS  hexkv:post etcd:etcd-range
	put-json  64  1024     $HTTP_KEYS  hexkv:put-json etcd:etcd-put
	put-disk  64  1024     $HTTP_KEYS  hexkv:put-disk etcd:etcd-put
	put-memory 64 1024     $HTTP_KEYS  hexkv:put-memory nginx:put-memory
	get-64k   64  65536    $HTTP_KEYS  hexkv:get nginx:get
	put-64k   64  65536    $HTTP_KEYS  hexkv:put-memory nginx:put-memory
	get-16m   64  16777216 $HTTP_LARGE hexkv:get nginx:get
	put-16m   64  16777216 $HTTP_LARGE hexkv:put-memory nginx:put-memory
	TEXT
}

http_row_names()
{
	http_rows | awk '{ print $1 }'
}

# Of what a request to hexkv takes: router, then node.
http_costs()
{
	printf '%d %d' "$(cpu_ticks router)" "$(cpu_ticks "${NODE_NAMES[@]}")"
}

# http_measure ROW SYSTEM KIND CONNECTIONS BYTES KEYS ROUND
http_measure()
{
	local row=$1 system=$2 seconds=$SECONDS_EACH before after line
	# All connections together have a GiB under way before the first answer is whole.
	(($5 < 1 << 24 || seconds >= 8)) || seconds=8
	# What the last one left unwritten is not this one's burden.
	sync -f "$TMP"
	before=$(http_costs)
	line=$(wrk -t "$(nproc)" -c "$4" -d "${seconds}s" --timeout 60s \
		-s "$SOURCE_ROOT/tests/bench/http.lua" "http://${ADDRESS[$system]}" -- "$3" "$6" "$5" \
		"$(first_key "$5")" |
		tail -1) || fail "wrk ends with an error: $row at $system"
	after=$(http_costs)
	[[ $line == *' failed=0' ]] || fail "$row at $system has answers that are none: $line"
	awk -v key="$row $system $7" -v line="$line" -v before="$before" -v after="$after" \
		-v tick="$(getconf CLK_TCK)" '
		BEGIN {
			split(line, part, /[ =]/)
			if (part[2] == 0)
				exit 1
			split(before, b, " "); split(after, a, " ")
			print key, "rate", part[2] / part[4]
			print key, "p50-us", part[6]
			print key, "p99-us", part[8]
			print key, "router-us", (a[1] - b[1]) * 1e6 / tick / part[2]
			print key, "node-us", (a[2] - b[2]) * 1e6 / tick / part[2]
		}' >>"$TMP/figures" || fail "$row at $system has no answers: $line"
}

declare -A FILLED=()

# fill_for BYTES KEYS: records of that size, once.
fill_for()
{
	[[ -z ${FILLED[$1]:-} ]] || return 0
	put_all "${ADDRESS[hexkv]}" "$1" "$2"
	put_all "${ADDRESS[nginx]}" "$1" "$2"
	FILLED[$1]=1
}

http_run()
{
	local round row connections bytes keys systems i n
	# shellcheck disable=SC2034 # for the table
	LOAD_BEFORE=$(cut -d ' ' -f 1 /proc/loadavg)
	http_systems_start
	for ((round = 1; round <= ROUNDS; round++)); do
		while read -r -u 8 row connections bytes keys systems; do
			row_wanted "$row" || continue
			say "round $round of $ROUNDS: $row"
			fill_for "$bytes" "$keys"
			read -ra systems <<<"$systems"
			n=${#systems[@]}
			for ((i = 0; i < n; i++)); do
				set -- "${systems[(i + round - 1) % n]}"
				http_measure "$row" "${1%%:*}" "${1#*:}" "$connections" "$bytes" "$keys" "$round"
			done
		done 8< <(http_rows)
	done
	http_systems_end
}
