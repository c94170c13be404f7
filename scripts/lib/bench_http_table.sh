# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The table of scripts/bench http. $TMP/figures has lines 'ROW SYSTEM ROUND NAME NUMBER'.

# Row, ours, peer, the factor to reach.
http_goals()
{
	cat <<-'TEXT'
	get-64 hexkv nginx 1.8
	get-64 hexkv haproxy 1.4
	get-512 hexkv nginx 1.8
	get-512 hexkv haproxy 1.4
	get-node node bare 0.7
	post hexkv etcd 6
	put-json hexkv etcd 3
	put-disk hexkv etcd 3
	put-memory hexkv nginx 10
	get-64k hexkv nginx 1
	put-64k hexkv nginx 3
	get-16m hexkv nginx 1
	put-16m hexkv nginx 3
	TEXT
}

http_table_print()
{
	printf '\n%d cores shared by servers and load; Linux %s, %s; load before: %s; %s\n\n' \
		"$(nproc)" "$(uname -r)" "$(date -u +%F)" "$LOAD_BEFORE" \
		"medians of $ROUNDS rounds of $SECONDS_EACH s"
	printf '%-11s %9s %8s %7s %6s   %-8s %9s %8s   %5s %-16s %s\n' '' hexkv 'p99 ms' 'us of' \
		'us of' peer 'its' 'p99 ms' goal reached 'p99 (goal 1)'
	printf '%-11s %9s %8s %7s %6s   %-8s %9s\n' '' /s '' router node '' /s
	http_goals | awk -v rounds="$ROUNDS" "$REPLICATION_MEDIANS"'
		function number(x) {
			return x == "" ? "-" : x < 1000 ? sprintf("%.1f", x) : sprintf("%.0f", x)
		}
		FILENAME == "-" {
			if (of($1, $2, "rate") == "")
				next
			reached = ratio($1, $2, $3, "rate")
			slower = ratio($1, $2, $3, "p99-us")
			printf "%-11s %9s %8.2f %7.1f %6.1f   %-8s %9s %8.2f   %5s %-16s %s\n", $1,
				number(of($1, $2, "rate")), of($1, $2, "p99-us") / 1e3,
				of($1, $2, "router-us"), of($1, $2, "node-us"), $3,
				number(of($1, $3, "rate")), of($1, $3, "p99-us") / 1e3, $4,
				sprintf("%.2f%s", reached, reached >= $4 ? "" : "  MISSED"),
				sprintf("%.2f%s", slower, slower <= 1 ? "" : "  MISSED")
		}' "$TMP/figures" -
	cat <<-'TEXT'

	us: microseconds of processor time of hexkv's own programs for one request.
	TEXT
}
