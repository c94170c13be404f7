# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The table of scripts/bench http, in Markdown. $TMP/figures has lines
# 'ROW SYSTEM ROUND NAME NUMBER'.

# Row, ours, peer, the factor to reach, and what the row is called.
http_goals()
{
	cat <<-'TEXT'
	get-64 hexkv nginx 1.8 GET /kv/, 64 connections
	get-64 hexkv haproxy 1.4 GET /kv/, 64 connections
	get-512 hexkv nginx 1.8 GET /kv/, 512 connections
	get-512 hexkv haproxy 1.4 GET /kv/, 512 connections
	get-node node bare 0.7 GET /kv/ at the node
	post hexkv etcd 6 POST /
	put-json hexkv etcd 3 PUT /, on disk
	put-disk hexkv etcd 3 PUT /kv/, on disk
	put-memory hexkv nginx 10 PUT /kv/, memory
	get-64k hexkv nginx 1 GET /kv/ of 64 KiB
	put-64k hexkv nginx 3 PUT /kv/ of 64 KiB, memory
	get-16m hexkv nginx 1 GET /kv/ of 16 MiB
	put-16m hexkv nginx 3 PUT /kv/ of 16 MiB, memory
	TEXT
}

http_table_print()
{
	printf '\n%d cores shared by servers and load; Linux %s, %s; load before: %s; %s.\n\n' \
		"$(nproc)" "$(uname -r)" "$(date -u +%F)" "$LOAD_BEFORE" \
		"medians of $ROUNDS rounds of $SECONDS_EACH s"
	cat <<-'TEXT'
	| row | hexkv /s | p99 ms | router us | node us | peer | its /s | its p99 ms | ratio | goal | p99 ratio (goal 1) |
	|---|---|---|---|---|---|---|---|---|---|---|
	TEXT
	http_goals | awk -v rounds="$ROUNDS" "$REPLICATION_MEDIANS"'
		function number(x) {
			return x == "" ? "-" : x < 1000 ? sprintf("%.1f", x) : sprintf("%.0f", x)
		}
		FILENAME == "-" {
			if (of($1, $2, "rate") == "" || of($1, $3, "rate") == "")
				next
			title = $5
			for (i = 6; i <= NF; i++)
				title = title " " $i
			reached = ratio($1, $2, $3, "rate")
			slower = ratio($1, $2, $3, "p99-us")
			printf "| %s | %s | %.2f | %.1f | %.1f | %s | %s | %.2f | %s | %s | %s |\n", title,
				number(of($1, $2, "rate")), of($1, $2, "p99-us") / 1e3,
				of($1, $2, "router-us"), of($1, $2, "node-us"), $3,
				number(of($1, $3, "rate")), of($1, $3, "p99-us") / 1e3,
				sprintf("%.2f%s", reached, reached >= $4 ? "" : ", missed"), $4,
				sprintf("%.2f%s", slower, slower <= 1 ? "" : ", missed")
		}' "$TMP/figures" -
	cat <<-'TEXT'

	router us, node us: microseconds of processor time of hexkv's own programs for one request.
	TEXT
}
